#!/usr/bin/env bash
# COMMAND of packages.rs.
set -euo pipefail
grep Seccomp_filters /proc/self/status
cd /data
python -m pip install -q --no-index --no-deps --find-links /wheels --target /cache/site numpy pillow imageio-ffmpeg
export PYTHONPATH=/cache/site
python - <<'P'
import numpy, multiprocessing, subprocess, sys
from PIL import Image
a = numpy.random.rand(300, 300); assert numpy.allclose(a @ numpy.linalg.inv(a), numpy.eye(300), atol=1e-6)
Image.fromarray((a * 255).astype('uint8')).resize((64, 64)).save('/data/x.png')
numpy.memmap('/data/m', dtype='f4', mode='w+', shape=(1000,))[:] = 1
subprocess.run([sys.executable, '-m', 'pip', '--version'], check=True, stdout=subprocess.DEVNULL)
P
python - <<'P'
# As the nodes for films do it: frames go to ffmpeg through one pipe and come back through another.
import numpy, subprocess, imageio_ffmpeg
ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), '-loglevel', 'error', '-y']
raw = ['-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', '64x48', '-r', '8']
frames = numpy.repeat(numpy.arange(16, dtype='u1')[:, None, None, None] * 16, 48, 1).repeat(64, 2).repeat(3, 3)
subprocess.run([*ffmpeg, *raw, '-i', '-', '-threads', '4', '-c:v', 'libx264', '-crf', '10', '/data/film.mp4'], input=frames.tobytes(), check=True)
back = subprocess.run([*ffmpeg, '-i', '/data/film.mp4', *raw[:4], '-'], stdout=subprocess.PIPE, check=True).stdout
back = numpy.frombuffer(back, 'u1').reshape(frames.shape)
assert numpy.abs(back.astype('i2') - frames).mean() < 4
P
git init -q repo; cd repo; git config user.name a; git config user.email a@example.invalid
echo x > f; git add f; git commit -qm x; git gc -q; cd ..; git clone -q repo copy; git -C copy log --oneline | wc -l
echo 'done'
