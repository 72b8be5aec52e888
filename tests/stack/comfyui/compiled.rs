//! Compiled Python files: the image's own lie in the image, those of the volumes in memory, and nobody runs what the app's user planted.

use super::world::{ComfyImage, ComfyVolumes, as_app};
use takumi_test::container::Start;
use takumi_test::engine::{Container, Ended, engine};
use takumi_test::folder::fresh_name;
use takumi_test::image::comfyui;
use takumi_test::program::run;
use takumi_test::require;

const PYTHON: &str = "/opt/venv/bin/python";

/// Below the folders that it is given: how many sources there are, and whose compiled file Python would not take. It compares time and
/// size; nobody but root may have written one.
const WRONG: &str = r#"
import importlib.util, os, sys

def words(path, start):
    with open(path, "rb") as file:
        head = file.read(16)
    return [int.from_bytes(head[at:at + 4], "little") for at in range(start, 16, 4)]

wrong, count = [], 0
for root in sys.argv[1:]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in ("test", "tests", "__pycache__")]
        for name in names:
            source = os.path.join(folder, name)
            if not name.endswith(".py") or os.path.islink(source):
                continue
            count += 1
            compiled = importlib.util.cache_from_source(source)
            seen = os.stat(source)
            try:
                there = os.stat(compiled)
                right = words(compiled, 4) == [0, int(seen.st_mtime), seen.st_size] and there.st_uid == 0 and not there.st_mode & 0o022
            except FileNotFoundError:
                right = False
            if not right:
                wrong.append(source)
print(count, *wrong[:20])
"#;

#[track_caller]
fn output_text(ended: impl Into<Ended>) -> String {
    ended.into().ends_with(0).stdout.trim().to_owned()
}

/// Runs a Python of the image with nothing around it.
fn python(options: &[&str], words: &[&str]) -> String {
    let name = fresh_name("python");
    let head = ["run", "--rm", "--name", &name, "--network", "none"];
    output_text(run(&mut engine(&[&head[..], options, words].concat())))
}

#[test]
fn every_module_of_the_image_is_compiled_in_it() {
    require!(comfyui);
    let image = comfyui();
    let read_only = ["--read-only", "--entrypoint", PYTHON, &image];
    let stdlib = python(&read_only, &["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"]);
    let environment = python(&read_only, &["-c", WRONG, "/app", "/opt/venv/lib", &stdlib]);
    // The scanner's, as it is started: -I, which knows no prefix.
    let scanner = ["--read-only", "--entrypoint", "/opt/bandit/bin/python", &image];
    let scanner = python(&scanner, &["-I", "-c", WRONG, "/opt/bandit/lib"]);
    for seen in [environment, scanner] {
        let (count, wrong) = seen.split_once(' ').unwrap_or((&seen, ""));
        assert_eq!(wrong, "", "of {count}");
        assert!(count.parse::<u32>().unwrap() > 300, "{count}");
    }
    // The control: as it was, all of them would be compiled anew.
    let before = ["--read-only", "--env", "PYTHONPYCACHEPREFIX=/tmp/pycache", "--entrypoint", PYTHON, &image];
    assert!(python(&before, &["-c", WRONG, "/app"]).contains("/app/main.py"));
}

#[test]
fn a_changed_module_is_not_taken_from_its_compiled_file() {
    require!(comfyui);
    let image = comfyui();
    let line = "site=$(python -c 'import takumi_aiohttp; print(takumi_aiohttp.__file__)') && \
                echo \"WORD = 'changed'\" >\"$site\" && python -c 'import takumi_aiohttp; print(takumi_aiohttp.WORD)'";
    assert_eq!(python(&["--entrypoint", "sh", &image], &["-c", line]), "changed");
}

/// Everything compiled that lies in memory, after a start and a node's import.
fn in_memory(start: Start) -> Vec<String> {
    let app = ComfyVolumes::new().on(start).app();
    let node = "import os, sys; os.makedirs('/data/custom_nodes/node'); open('/data/custom_nodes/node/module.py', 'w').close(); \
                sys.path.insert(0, '/data/custom_nodes/node'); import module, json.tool, pip";
    output_text(as_app(&app.container, &["/cache/venv/bin/python", "-c", node]));
    let mut found: Vec<String> =
        output_text(app.container.exec(&["find", "/tmp", "-name", "*.pyc"])).lines().map(str::to_owned).collect();
    found.sort();
    found
}

#[test]
fn only_what_lies_on_volumes_is_compiled_to_memory() {
    require!(comfyui, pip3);
    let world = ComfyImage::new();
    let start = || Start::hardened(&world.image).env("TAKUMI_LOG", "warn");
    let found = in_memory(start());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("/tmp/pycache/data/custom_nodes/node/module."), "{found:?}");
    // The control.
    let before = in_memory(start().env("PYTHONPYCACHEPREFIX", "/tmp/pycache"));
    assert!(before.iter().any(|path| path.starts_with("/tmp/pycache/opt/venv/")), "{before:?}");
}

/// Puts a file that Python never compares with its source where this container's root once looked for a baked module's.
fn plant(container: &Container) {
    let program = "import os, py_compile, sys; import takumi_aiohttp as baked; \
                   sys.pycache_prefix = '/tmp/pycache'; import importlib.util; \
                   open('/tmp/planted.py', 'w').write('print(\"planted\")'); \
                   py_compile.compile('/tmp/planted.py', importlib.util.cache_from_source(baked.__file__), doraise=True, \
                   invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)";
    output_text(as_app(container, &[PYTHON, "-c", program]));
}

#[test]
fn root_s_python_runs_nothing_that_the_app_has_compiled() {
    require!(comfyui, pip3);
    let world = ComfyImage::new();
    let app = ComfyVolumes::new().on(Start::hardened(&world.image).env("TAKUMI_LOG", "warn")).app();
    plant(&app.container);
    let import = [PYTHON, "-c", "import takumi_aiohttp"];
    assert_eq!(output_text(app.container.exec(&import)), "");
    // The control: from memory it would.
    let before = app.container.exec(&[&["env", "PYTHONPYCACHEPREFIX=/tmp/pycache"], &import[..]].concat());
    assert!(output_text(before).starts_with("planted"));
}
