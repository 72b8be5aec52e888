"""Makes aiohttp take the proxy from the environment, as requests, urllib, curl and pip do.

aiohttp asks its caller for `ClientSession(trust_env=True)`, and ComfyUI's API nodes do not say it: behind a network that has a proxy
alone they reach nobody. A .pth file imports this at the start of every Python of the environment; where no proxy is set it does
nothing, and aiohttp itself is changed only if somebody imports it. A session that says trust_env=False keeps its word.
"""

import importlib.abc
import importlib.util
import os
import sys

MODULE = "aiohttp.client"
NAMES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


class Finder(importlib.abc.MetaPathFinder):
    """Lets the others find the module, and looks on when it is executed."""

    def find_spec(self, name, path=None, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            trust(module)

        spec.loader.exec_module = exec_module
        return spec


def trust(module):
    defaults = getattr(module.ClientSession.__init__, "__kwdefaults__", None) or {}
    if "trust_env" in defaults:
        defaults["trust_env"] = True
    else:
        print("takumi: this aiohttp is not known: ComfyUI's API nodes will not use the proxy", file=sys.stderr)


if any(os.environ.get(name) for name in NAMES):
    sys.meta_path.insert(0, Finder())
