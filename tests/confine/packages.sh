#!/usr/bin/env bash
# COMMAND of packages.rs.
set -euo pipefail
cd /data
python -m pip install -q --no-index --no-deps --find-links /wheels --target /cache/site numpy pillow
export PYTHONPATH=/cache/site
python - <<'P'
import numpy, multiprocessing, subprocess, sys
from PIL import Image
a = numpy.random.rand(300, 300); assert numpy.allclose(a @ numpy.linalg.inv(a), numpy.eye(300), atol=1e-6)
Image.fromarray((a * 255).astype('uint8')).resize((64, 64)).save('/data/x.png')
numpy.memmap('/data/m', dtype='f4', mode='w+', shape=(1000,))[:] = 1
subprocess.run([sys.executable, '-m', 'pip', '--version'], check=True, stdout=subprocess.DEVNULL)
P
git init -q repo; cd repo; git config user.name a; git config user.email a@example.invalid
echo x > f; git add f; git commit -qm x; git gc -q; cd ..; git clone -q repo copy; git -C copy log --oneline | wc -l
echo 'done'
