"""The names that the rules look for. They follow the fashion of those who hide."""

from pathlib import Path

# Modules that nobody needs to import by a call.
POWERFUL_MODULES = frozenset(
    """os posix nt sys subprocess _posixsubprocess builtins __builtin__ pty socket _socket ctypes _ctypes marshal pickle _pickle
    importlib runpy code codeop base64 zlib codecs urllib requests http shutil webbrowser platform commands""".split()
)

# Attributes that nobody needs to look up by a string.
POWERFUL_ATTRIBUTES = frozenset(
    """system popen Popen exec eval compile __import__ import_module __builtins__ __globals__ __subclasses__ __code__ execv execve execvp
    execvpe execl execlp spawnl spawnlp spawnv spawnvp posix_spawn fork check_output check_call getoutput getstatusoutput startfile
    urlopen urlretrieve b64decode CDLL dlopen modules""".split()
)


def _by_name(abilities):
    return {name: ability for ability, names in abilities.items() for name in names.split()}


# Modules whose import says what a program can do, and which Bandit does not mind.
IMPORTS = _by_name(
    {
        "downloads": """requests httpx urllib3 urllib.request http.client websocket websockets socket _socket socketserver socks paramiko
            asyncssh pycurl smtplib imaplib poplib wget gdown huggingface_hub boto3 git pygit2 dulwich""",
        "runs-commands": "pty posix nt _posixsubprocess pexpect plumbum sh",
        "installs-packages": "pip ensurepip",
        "unpickles": "_pickle cloudpickle joblib jsonpickle",
        "native-code": "_ctypes cffi pyximport torch.utils.cpp_extension",
        "hides-calls": "zipimport",
        "evaluates-code": "runpy code",
    }
)

# Calls by their last name.
CALLS = _by_name(
    {
        "downloads": """ClientSession create_connection open_connection load_file_from_url load_state_dict_from_url download_url_to_file
            hf_hub_download snapshot_download""",
        "runs-commands": """create_subprocess_exec create_subprocess_shell subprocess_exec subprocess_shell posix_spawn posix_spawnp
            fork_exec forkpty dup2""",
        "changes-permissions": "chmod lchmod fchmod chown setuid setgid setresuid seteuid",
        "native-code": "CDLL PyDLL WinDLL OleDLL LoadLibrary dlopen load_library load_inline ExtensionFileLoader",
        "evaluates-code": """run_path run_module load_source spec_from_file_location SourceFileLoader InteractiveInterpreter
            InteractiveConsole""",
        "compiled-python": "SourcelessFileLoader load_compiled",
        "hides-calls": "zipimporter CodeType",
        "turns-tls-off": "_create_unverified_context",
    }
)

# What turns data back into what it was: beside exec in one file it hides what is run.
DECODERS = frozenset(
    """b64decode urlsafe_b64decode standard_b64decode decodebytes b32decode b16decode a85decode b85decode unhexlify a2b_base64 a2b_hex
    fromhex decompress Fernet rot13 rot_13""".split()
)

# Commands that install packages: how a command line begins, and what stands in one.
INSTALLERS = (
    "pip install", "pip3 install", "pip download", "uv pip", "uv add", "uvx ", "pipx ", "conda install", "mamba install",
    "micromamba install", "npm install", "npm i ", "npx ", "yarn add", "apt-get install", "apt install", "apt-get -y", "apt -y",
    "brew install", "easy_install",
)  # fmt: skip
INSTALLERS_WITHIN = ("-m pip", "&& pip", "; pip", "-m ensurepip", "pip install -", "&& apt", "sudo apt")
# Programs that install packages, where one of the verbs is among the words beside them.
INSTALLER_PROGRAMS = frozenset("pip pip3 uv conda mamba micromamba npm apt-get apt brew gem cargo".split())
INSTALLER_VERBS = frozenset("install add pip".split())

# Calls whose text is for people: it may tell them what to install.
SPEAKERS = frozenset("print warn warning error info debug critical exception log write cprint echo".split())

# Settings that are given by name, the value that matters (anything but False where it is None), and what they do.
SETTINGS = {
    "trust_remote_code": (None, "evaluates-code"),
    "allow_pickle": (True, "unpickles"),
    "weights_only": (False, "unpickles"),
    "verify": (False, "turns-tls-off"),
    "verify_ssl": (False, "turns-tls-off"),
    "check_hostname": (False, "turns-tls-off"),
    "ssl_verify": (False, "turns-tls-off"),
}
TLS_NAMES = frozenset("CERT_NONE _create_default_https_context".split())
TLS_TEXTS = frozenset("GIT_SSL_NO_VERIFY PYTHONHTTPSVERIFY NODE_TLS_REJECT_UNAUTHORIZED --no-check-certificate".split())


def _known_bad():
    lines = Path(__file__).with_name("known_bad.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.startswith("text "):
            _, name, _, source, why = line.split(" ", 4)
            yield name.lower(), f"{name} {why}, {source}"


# What stands in a program that is known to be malicious, and who reported it.
KNOWN_BAD = tuple(_known_bad())
