"""In the place of ComfyUI's main.py: the stand-in, or with `--probe NAME...` in COMFYUI_ARGS what the test wants to know, told as JSON
on standard output. It gets what ComfyUI gets: the launcher's Python, environment and arguments.
"""

import runpy
import sys

if "--probe" in sys.argv:
    sys.argv = ["/app/probes.py", *sys.argv[sys.argv.index("--probe") + 1:]]
    runpy.run_path("/app/probes.py", run_name="__main__")
else:
    runpy.run_path("/app/standin.py", run_name="__main__")
