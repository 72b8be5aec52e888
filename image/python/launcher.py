"""Starts ComfyUI, in the environment that keeps the packages of its nodes, with the arguments that this image needs and those of
COMFYUI_ARGS behind them.

An image's CMD takes no variables, and a shell that would is one program more to trust. It runs as the app's user, by the baked
Python and with -I: what that user could have planted is not asked before it was looked at.
"""

import glob
import os
import re
import shlex
import shutil
import sys
import sysconfig

APP = "/app"
MAIN = "/app/main.py"
DATA = "/data"
# What pip installs for a node. Beside the caches: it can be had again, and a backup of /data stays small.
OVERLAY = "/cache/venv"
# In the overlay, written last: it names the Python that the packages in there were installed for.
MARKER = "base-python"
# Where compiled Python files of the volumes go: /opt/pycache has a link for each volume into here.
COMPILED = "/tmp/pycache"
# Where ComfyUI-Manager keeps its settings, now and for a ComfyUI without folders of its own for the system's settings.
MANAGER, MANAGER_BEFORE = "user/__manager", "user/default/ComfyUI-Manager"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def main():
    folders(DATA)
    python = overlay(OVERLAY)
    manager_uses_pip(DATA)
    compiled(COMPILED)
    environment = variables(os.environ, OVERLAY)
    os.execve(python, [python, MAIN, *arguments(environment, sys.argv[1:])], environment)


def folders(data):
    """The folders that people fill. ComfyUI makes some of them itself, and does not start without custom_nodes."""
    names = ["custom_nodes", "input", "output", "user", "models"]
    if os.path.isdir(f"{APP}/models"):
        names += [f"models/{kind.name}" for kind in os.scandir(f"{APP}/models") if kind.is_dir()]
    try:
        for name in names:
            os.makedirs(os.path.join(data, name), exist_ok=True)
    except OSError as error:
        sys.exit(f"cannot create ComfyUI's folders in {data}: {error} (mount a volume at {data})")


def compiled(directory):
    """Where Python finds no folder behind the links, it keeps nothing, and each of its processes compiles again."""
    for volume in (DATA, os.path.dirname(OVERLAY)):
        try:
            os.makedirs(f"{directory}{volume}", exist_ok=True)
        except OSError as error:
            print(f"cannot keep compiled Python files: {error} (starting takes longer)", file=sys.stderr)


def arguments(environment, further):
    """ComfyUI's arguments: what lies where (/app is read-only), COMFYUI_ARGS, then those of the command line."""
    base = [
        "--listen", "0.0.0.0",
        "--port", "8188",
        "--base-directory", DATA,
        # The one path that --base-directory does not move.
        "--database-url", f"sqlite:///{DATA}/user/comfyui.db",
        "--disable-auto-launch",
    ]
    if environment.get("COMFYUI_VARIANT") == "cpu":
        base.append("--cpu")
    try:
        return [*base, *shlex.split(environment.get("COMFYUI_ARGS", "")), *further]
    except ValueError as error:
        sys.exit(f"COMFYUI_ARGS cannot be split into words: {error} (close every quote)")


def variables(environment, directory):
    """The environment with the overlay's programs first, and with nothing of this container's own sent to the proxy."""
    # Only here, not in the image: what container root looks up on PATH must not lie where the app's user can write.
    result = {**environment, "VIRTUAL_ENV": directory, "PATH": f"{directory}/bin:{environment.get('PATH', os.defpath)}"}
    # A user that /etc/passwd does not know, by another PUID, has none.
    if result.get("HOME") in (None, "", "/"):
        result["HOME"] = os.path.dirname(directory)
    if any(result.get(name) for name in proxy_variables()):
        known = result.get("no_proxy") or result.get("NO_PROXY") or ""
        names = [name.strip() for name in known.split(",") if name.strip()]
        if "*" not in names:
            names += [name for name in LOOPBACK if name not in names]
        result["no_proxy"] = result["NO_PROXY"] = ",".join(names)
    return result


def proxy_variables():
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        yield from (name, name.upper())


def overlay(directory):
    """A virtual environment on a volume that sees the baked one, made at the first start. Returns its Python.

    pip takes the baked packages for installed, and puts what is new, or newer, in front of them. (uv does not look through the
    .pth file and would install PyTorch again; `pip install --target` does not look at all.)
    """
    here = f"{sys.implementation.cache_tag} {sysconfig.get_config_var('SOABI')}"
    marker = os.path.join(directory, MARKER)
    python = os.path.join(directory, "bin", "python")
    try:
        with open(marker, encoding="utf-8") as file:
            there = file.read().strip()
    except FileNotFoundError:
        if os.path.lexists(directory):
            refuse(directory, f"{directory} is incomplete or was not created by this image ({MARKER} is missing in it)")
        make_overlay(directory, here)
        return python
    except OSError as error:
        sys.exit(f"cannot read {marker}: {error.strerror} (it belongs to the user that ComfyUI runs as)")
    if there != here:
        refuse(directory, f"the nodes' packages in {directory} were installed for Python {there}, and this image has {here}")
    if not os.access(python, os.X_OK):
        refuse(directory, f"{python} cannot be started")
    return python


def refuse(directory, reason):
    sys.exit(
        f"{reason}: remove it (docker compose run --rm --no-deps --user {os.getuid()} --entrypoint rm comfyui -r {directory}), start "
        f"again, and install the requirements of each node again: docs/comfyui.md"
    )


def make_overlay(directory, here):
    """Makes it beside its place and moves it there: a start that is ended halfway leaves nothing that looks whole."""
    fresh = f"{directory}.new"
    version = "python%d.%d" % sys.version_info[:2]
    site_packages = os.path.join(fresh, "lib", version, "site-packages")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        os.makedirs(site_packages)
        os.mkdir(os.path.join(fresh, "bin"))
        base = sys._base_executable
        for name in ("python", "python3", version):
            os.symlink(base, os.path.join(fresh, "bin", name))
        # addsitedir, not the bare path: the .pth files of the baked packages count as well.
        baked = sysconfig.get_path("purelib")
        write(os.path.join(site_packages, "_base.pth"), f"import site; site.addsitedir({baked!r})\n")
        # The baked pip would install into its own environment; a package's programs start by this first line too.
        for name in ("pip", "pip3"):
            script = f"#!{directory}/bin/python\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
            write(os.path.join(fresh, "bin", name), script, 0o755)
        config = f"home = {os.path.dirname(base)}\ninclude-system-site-packages = false\nversion = {sys.version.split()[0]}\n"
        write(os.path.join(fresh, "pyvenv.cfg"), config)
        write(os.path.join(fresh, MARKER), f"{here}\n")
        os.rename(fresh, directory)
    except OSError as error:
        sys.exit(f"cannot create {directory} for the packages of nodes: {error} (mount a volume at {os.path.dirname(directory)})")


def manager_uses_pip(data):
    """ComfyUI-Manager takes uv where it finds it, and uv does not see the baked packages. Its first start would do so too: it writes
    its settings at the end."""
    there = [folder for folder in (MANAGER, MANAGER_BEFORE) if uses_pip(os.path.join(data, folder, "config.ini"))]
    folder = MANAGER if package_is_installed("comfyui_manager") else folder_of_node(data, there)
    if folder and folder not in there:
        os.makedirs(os.path.join(data, folder), exist_ok=True)
        write(os.path.join(data, folder, "config.ini"), "[default]\nuse_uv = False\nfile_logging = True\n")


def uses_pip(path):
    """Whether there are settings. They say pip from now on."""
    try:
        with open(path, encoding="utf-8") as file:
            before = file.read()
    except FileNotFoundError:
        return False
    after = re.sub(r"(?mi)^(use_uv\s*=\s*)true\s*$", r"\1False", before)
    if after != before:
        write(path, after)
        print(f"{path}: use_uv = False: uv would install PyTorch again", file=sys.stderr)
    return True


def folder_of_node(data, there):
    """Where Manager as a custom node looks for settings, if it has none: older ones it moves itself (glob/manager_migration.py)."""
    if there or not glob.glob(f"{glob.escape(data)}/custom_nodes/*/glob/manager_core.py"):
        return None
    try:
        with open(f"{APP}/folder_paths.py", encoding="utf-8") as file:
            return MANAGER if "def get_system_user_directory(" in file.read() else MANAGER_BEFORE
    except FileNotFoundError:
        return MANAGER_BEFORE


def package_is_installed(name):
    below = os.path.join("lib", "python%d.%d" % sys.version_info[:2], "site-packages", name)
    return any(os.path.isdir(os.path.join(prefix, below)) for prefix in (OVERLAY, sys.prefix))


def write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(text)


if __name__ == "__main__":
    main()
