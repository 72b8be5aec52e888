//! The packages of nodes: the virtual environment on a volume.

use super::world::{ComfyImage, ComfyVolumes, as_app};
use serde_json::Value;
use takumi_test::container::App;
use takumi_test::engine::{Container, Volume, ask, engine};
use takumi_test::folder::fresh_name;
use takumi_test::program::{REPOSITORY, run};
use takumi_test::require;

const PIP: &str = "/cache/venv/bin/pip";
const OFFLINE: [&str; 5] = ["install", "--quiet", "--no-index", "--find-links", "/wheels"];

fn line(container: &Container, words: &[&str]) -> String {
    let ended = as_app(container, words);
    assert_eq!(ended.code, 0, "{words:?}: {}", ended.stderr);
    ended.stdout.trim().to_owned()
}

fn needs() -> String {
    format!("{REPOSITORY}/tests/stack/comfyui/needs.txt:/needs.txt:ro")
}

/// The names of the packages that lie in a folder.
fn packages(container: &Container, folder: &str) -> Vec<String> {
    let listing = line(container, &["ls", folder]);
    let names = listing.lines().filter_map(|name| name.strip_suffix(".dist-info"));
    names.map(|name| name.split('-').next().unwrap().to_owned()).collect()
}

fn site_packages(container: &Container) -> String {
    line(container, &["sh", "-c", "echo /cache/venv/lib/python3*/site-packages"])
}

#[test]
fn what_a_node_needs_is_installed_once_and_stays() {
    require!(comfyui, pip3);
    let world = ComfyImage::new();
    let kept = ComfyVolumes::new();
    let app: App = kept.on(world.start()).options(&["-v", &needs()]).app();
    let container = &app.container;

    // The baked environment refuses, and stays as it was.
    let baked =
        as_app(container, &[&["/opt/venv/bin/python", "-m", "pip"], &OFFLINE[..], &["-r", "/needs.txt"]].concat());
    assert!(baked.stderr.contains("Read-only file system"), "{baked:?}");

    line(container, &[&[PIP], &OFFLINE[..], &["-r", "/needs.txt"]].concat());
    // NumPy is wanted too, and is baked.
    assert_eq!(packages(container, &site_packages(container)), ["colorspacious", "packaging"]);
    let compiled = line(container, &["find", "/cache/venv", "-name", "*.pyc"]);
    assert_eq!(compiled, "", "compiled Python files on a volume");

    // The controls: what else people use installs NumPy once more.
    line(container, &[&[PIP], &OFFLINE[..], &["--target", "/cache/target", "-r", "/needs.txt"]].concat());
    assert!(packages(container, "/cache/target").contains(&"numpy".to_owned()));
    let uv =
        ["/cache/venv/bin/python", "-m", "uv", "pip", "install", "--dry-run", "--python", "/cache/venv/bin/python"];
    let uv = as_app(container, &[&uv[..], &["--no-index", "--find-links", "/wheels", "-r", "/needs.txt"]].concat());
    assert!(uv.stderr.contains("+ numpy"), "{uv:?}");

    let marker = line(container, &["stat", "-c", "%i %Y", "/cache/venv/base-python"]);
    ask(&["restart", "--time", "10", &container.name]);
    drop(app);

    // In another container, by ComfyUI's own Python.
    let seen = kept.probe(world.start(), "where");
    let site = "/cache/venv/lib/python3";
    assert_eq!(seen["executable"], "/cache/venv/bin/python", "{seen:#}");
    assert!(seen["path"].as_str().unwrap().starts_with("/cache/venv/bin:"), "{seen:#}");
    assert!(seen["colorspacious"].as_str().unwrap().starts_with(site), "{seen:#}");
    assert!(seen["numpy"].as_str().unwrap().starts_with("/opt/venv/lib"), "{seen:#}");
    assert_eq!(seen["packaging"], "26.3", "{seen:#}");
    let again = kept.on(world.start()).app();
    assert_eq!(line(&again.container, &["stat", "-c", "%i %Y", "/cache/venv/base-python"]), marker);
    // What container root looks up by name is not the app's to write.
    let path = again.container.exec(&["sh", "-c", "echo $PATH"]);
    assert!(!String::from_utf8_lossy(&path.stdout).contains("/cache"), "{path:?}");

    // The control: without the volume they are gone.
    let other: Value = ComfyVolumes::new().probe(world.start(), "where");
    assert_eq!(other["colorspacious"], Value::Null);
    assert_eq!(other["packaging"], "24.0");
}

#[test]
fn packages_of_another_python_are_refused_with_the_fix() {
    require!(comfyui, pip3);
    let world = ComfyImage::new();
    let kept = ComfyVolumes::new();
    kept.probe(world.start(), "where");
    let spoil = |line: &str| kept.cache.root_shell(&world.image, line);
    let cases = [
        (
            "echo cpython-310 cpython-310-x86_64-linux-gnu >/data/venv/base-python",
            "were installed for Python cpython-310",
        ),
        ("rm /data/venv/base-python", "is incomplete"),
        ("ln -sf /usr/bin/python2.7 /data/venv/bin/python", "cannot be started"),
    ];
    for (how, words) in cases {
        spoil(how);
        let ended = kept.on(world.start()).run();
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.stderr.contains(words), "{words}: {ended:?}");
        // The fix is what the message says, less compose.
        let (_, fix) =
            ended.stderr.split_once("--entrypoint rm comfyui ").unwrap_or_else(|| panic!("no fix: {ended:?}"));
        let (fix, _) = fix.split_once(')').unwrap();
        let cache = format!("{}:/cache", kept.cache.name);
        let name = fresh_name("fix");
        let words =
            ["run", "--rm", "--name", &name, "--read-only", "--cap-drop", "ALL", "-v", &cache, "--user", "1000"];
        let words =
            [&words[..], &["--entrypoint", "rm", &world.image.name], &fix.split(' ').collect::<Vec<_>>()].concat();
        run(&mut engine(&words)).ends_with(0);
        // What an ended start has left is no obstacle either.
        spoil("mkdir -p /data/venv.new/bin; chown -R 1000:1000 /data/venv.new");
        assert_eq!(kept.probe(world.start(), "where")["executable"], "/cache/venv/bin/python");
    }
}

#[test]
fn comfyui_manager_uses_pip() {
    require!(comfyui, pip3);
    let world = ComfyImage::new();
    let kept = ComfyVolumes::new();
    kept.probe(world.start(), "where");
    // Manager 4 as a package, Manager 3 as a node that has already written what it found.
    let before = "site=$(echo /data/venv/lib/python3*/site-packages); mkdir $site/comfyui_manager; chown 1000:1000 $site/comfyui_manager";
    kept.cache.root_shell(&world.image, before);
    let config = "mkdir -p /data/user/default/ComfyUI-Manager; \
                  printf '[default]\\nuse_uv = True\\nverbose = True\\n' >/data/user/default/ComfyUI-Manager/config.ini; \
                  chown -R 1000:1000 /data/user";
    kept.data.root_shell(&world.image, config);
    kept.probe(world.start(), "where");
    let read = |path: &str| kept.data.root_shell(&world.image, &format!("cat {path}"));
    assert_eq!(read("/data/user/default/ComfyUI-Manager/config.ini"), "[default]\nuse_uv = False\nverbose = True");
    assert!(read("/data/user/__manager/config.ini").contains("use_uv = False"));
}

#[test]
fn comfyui_manager_as_a_node_uses_pip_from_its_first_start() {
    require!(comfyui, pip3);
    let world = ComfyImage::new();
    let settings = |data: &Volume| {
        let found = data.root_shell(&world.image, "find /data/user -name config.ini");
        let text = data.root_shell(&world.image, "find /data/user -name config.ini -exec cat {} +");
        (found, text)
    };
    let kept = ComfyVolumes::new();
    kept.probe(world.start(), "where");
    assert_eq!(settings(&kept.data).0, "");
    let node = "mkdir -p /data/custom_nodes/Manager/glob; touch /data/custom_nodes/Manager/glob/manager_core.py";
    kept.data.root_shell(&world.image, node);
    kept.probe(world.start(), "where");
    let (found, text) = settings(&kept.data);
    // The stand-in has no folders for the system's settings.
    assert_eq!(found, "/data/user/default/ComfyUI-Manager/config.ini");
    assert!(text.contains("use_uv = False"), "{text}");
    // What is there is not written anew.
    kept.data.root_shell(&world.image, &format!("echo 'use_uv = False' >{found}"));
    kept.probe(world.start(), "where");
    assert_eq!(settings(&kept.data), (found, "use_uv = False".to_owned()));
}
