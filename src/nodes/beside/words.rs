//! The names that the rules of [`super::source`] look for.

use super::super::ability::Ability;

/// Modules that nobody needs to import by a call, and what is done with them.
pub(super) const POWERFUL_MODULES: &[&[u8]] = &[
    b"os", b"posix", b"nt", b"sys", b"subprocess", b"_posixsubprocess", b"builtins", b"__builtin__", b"pty", b"socket",
    b"_socket", b"ctypes", b"_ctypes", b"marshal", b"pickle", b"_pickle", b"importlib", b"runpy", b"code", b"codeop",
    b"base64", b"zlib", b"codecs", b"urllib", b"requests", b"http", b"shutil", b"webbrowser", b"platform", b"commands",
];

/// Attributes that nobody needs to look up by a string.
pub(super) const POWERFUL_ATTRIBUTES: &[&[u8]] = &[
    b"system", b"popen", b"Popen", b"exec", b"eval", b"compile", b"__import__", b"import_module", b"__builtins__",
    b"__globals__", b"__subclasses__", b"__code__", b"execv", b"execve", b"execvp", b"execvpe", b"execl", b"execlp",
    b"spawnl", b"spawnlp", b"spawnv", b"spawnvp", b"posix_spawn", b"fork", b"check_output", b"check_call",
    b"getoutput", b"getstatusoutput", b"startfile", b"urlopen", b"urlretrieve", b"b64decode", b"CDLL", b"dlopen",
    b"modules",
];

/// Modules whose import says what a program can do, and which Bandit does not mind.
pub(super) const IMPORTS: &[(&[u8], Ability)] = &[
    (b"requests", Ability::Downloads),
    (b"httpx", Ability::Downloads),
    (b"urllib3", Ability::Downloads),
    (b"urllib.request", Ability::Downloads),
    (b"http.client", Ability::Downloads),
    (b"websocket", Ability::Downloads),
    (b"websockets", Ability::Downloads),
    (b"socket", Ability::Downloads),
    (b"_socket", Ability::Downloads),
    (b"socketserver", Ability::Downloads),
    (b"socks", Ability::Downloads),
    (b"paramiko", Ability::Downloads),
    (b"asyncssh", Ability::Downloads),
    (b"pycurl", Ability::Downloads),
    (b"smtplib", Ability::Downloads),
    (b"imaplib", Ability::Downloads),
    (b"poplib", Ability::Downloads),
    (b"wget", Ability::Downloads),
    (b"gdown", Ability::Downloads),
    (b"huggingface_hub", Ability::Downloads),
    (b"boto3", Ability::Downloads),
    (b"git", Ability::Downloads),
    (b"pygit2", Ability::Downloads),
    (b"dulwich", Ability::Downloads),
    (b"pty", Ability::RunsCommands),
    (b"posix", Ability::RunsCommands),
    (b"nt", Ability::RunsCommands),
    (b"_posixsubprocess", Ability::RunsCommands),
    (b"pexpect", Ability::RunsCommands),
    (b"plumbum", Ability::RunsCommands),
    (b"sh", Ability::RunsCommands),
    (b"pip", Ability::InstallsPackages),
    (b"ensurepip", Ability::InstallsPackages),
    (b"_pickle", Ability::Unpickles),
    (b"cloudpickle", Ability::Unpickles),
    (b"joblib", Ability::Unpickles),
    (b"jsonpickle", Ability::Unpickles),
    (b"_ctypes", Ability::NativeCode),
    (b"cffi", Ability::NativeCode),
    (b"pyximport", Ability::NativeCode),
    (b"torch.utils.cpp_extension", Ability::NativeCode),
    (b"zipimport", Ability::HidesCalls),
    (b"runpy", Ability::EvaluatesCode),
    (b"code", Ability::EvaluatesCode),
];

/// Calls by their last name that say what a program can do, and which Bandit does not mind.
pub(super) const CALLS: &[(&[u8], Ability)] = &[
    (b"ClientSession", Ability::Downloads),
    (b"create_connection", Ability::Downloads),
    (b"open_connection", Ability::Downloads),
    (b"load_file_from_url", Ability::Downloads),
    (b"load_state_dict_from_url", Ability::Downloads),
    (b"download_url_to_file", Ability::Downloads),
    (b"hf_hub_download", Ability::Downloads),
    (b"snapshot_download", Ability::Downloads),
    (b"create_subprocess_exec", Ability::RunsCommands),
    (b"create_subprocess_shell", Ability::RunsCommands),
    (b"subprocess_exec", Ability::RunsCommands),
    (b"subprocess_shell", Ability::RunsCommands),
    (b"posix_spawn", Ability::RunsCommands),
    (b"posix_spawnp", Ability::RunsCommands),
    (b"fork_exec", Ability::RunsCommands),
    (b"forkpty", Ability::RunsCommands),
    (b"dup2", Ability::RunsCommands),
    (b"chmod", Ability::ChangesPermissions),
    (b"lchmod", Ability::ChangesPermissions),
    (b"fchmod", Ability::ChangesPermissions),
    (b"chown", Ability::ChangesPermissions),
    (b"setuid", Ability::ChangesPermissions),
    (b"setgid", Ability::ChangesPermissions),
    (b"setresuid", Ability::ChangesPermissions),
    (b"seteuid", Ability::ChangesPermissions),
    (b"CDLL", Ability::NativeCode),
    (b"PyDLL", Ability::NativeCode),
    (b"WinDLL", Ability::NativeCode),
    (b"OleDLL", Ability::NativeCode),
    (b"LoadLibrary", Ability::NativeCode),
    (b"dlopen", Ability::NativeCode),
    (b"load_library", Ability::NativeCode),
    (b"load_inline", Ability::NativeCode),
    (b"ExtensionFileLoader", Ability::NativeCode),
    (b"run_path", Ability::EvaluatesCode),
    (b"run_module", Ability::EvaluatesCode),
    (b"load_source", Ability::EvaluatesCode),
    (b"spec_from_file_location", Ability::EvaluatesCode),
    (b"SourceFileLoader", Ability::EvaluatesCode),
    (b"InteractiveInterpreter", Ability::EvaluatesCode),
    (b"InteractiveConsole", Ability::EvaluatesCode),
    (b"SourcelessFileLoader", Ability::CompiledPython),
    (b"load_compiled", Ability::CompiledPython),
    (b"zipimporter", Ability::HidesCalls),
    (b"CodeType", Ability::HidesCalls),
    (b"_create_unverified_context", Ability::TurnsTlsOff),
];

/// What turns data back into what it was: beside `exec` in one file it hides what is run.
pub(super) const DECODERS: &[&[u8]] = &[
    b"b64decode", b"urlsafe_b64decode", b"standard_b64decode", b"decodebytes", b"b32decode", b"b16decode",
    b"a85decode", b"b85decode", b"unhexlify", b"a2b_base64", b"a2b_hex", b"fromhex", b"decompress", b"Fernet",
    b"rot13", b"rot_13",
];

/// Commands that install packages, as a command line begins.
pub(super) const INSTALLERS: &[&[u8]] = &[
    b"pip install", b"pip3 install", b"pip download", b"uv pip", b"uv add", b"uvx ", b"pipx ", b"conda install",
    b"mamba install", b"micromamba install", b"npm install", b"npm i ", b"npx ", b"yarn add", b"apt-get install",
    b"apt install", b"apt-get -y", b"apt -y", b"brew install", b"easy_install",
];

/// Programs that install packages, where the word `install` is among the arguments beside them.
pub(super) const INSTALLER_PROGRAMS: &[&[u8]] =
    &[b"pip", b"pip3", b"uv", b"conda", b"mamba", b"micromamba", b"npm", b"apt-get", b"apt", b"brew", b"gem", b"cargo"];

/// Calls whose text is for people: it may tell them what to install.
pub(super) const SPEAKERS: &[&[u8]] = &[
    b"print", b"warn", b"warning", b"error", b"info", b"debug", b"critical", b"exception", b"log", b"write", b"cprint",
    b"echo",
];
