//! scripts/build.sh: ComfyUI from a directory, and what it refuses.

use crate::engine::{Folder, ask, engine, fresh_name};
use crate::stack::{Images, REPOSITORY, has_docker, text};
use std::path::Path;
use std::process::Command;

/// As much of a ComfyUI as the build looks at: it needs a package, and prints how it was started.
const MAIN: &str = "import importlib.metadata, os, sys\nprint('argv', *sys.argv[1:])\n\
     print('needs', importlib.metadata.version('iniconfig'), 'as', os.getuid())\n";

#[test]
fn comfyui_from_a_directory_with_its_requirements() {
    if !has_docker() {
        return;
    }
    let images = Images { prefix: fresh_name("directory") };
    let folder = Folder::new();
    let path = folder.0.to_str().unwrap();
    let build = || images.build(Path::new(REPOSITORY), &["--comfyui", path, "comfyui"]);
    build().ends_with(1).says("is no ComfyUI: main.py or requirements.txt is missing");

    std::fs::write(folder.0.join("main.py"), MAIN).unwrap();
    std::fs::write(folder.0.join("requirements.txt"), "iniconfig==2.0.0\n").unwrap();
    std::fs::write(folder.0.join("comfyui_version.py"), "# Written by hand.\n\n__version__ = \"0.0.7\"\n").unwrap();
    std::fs::create_dir(folder.0.join(".git")).unwrap();
    build().ends_with(0).says(&format!("image: {}", images.name("comfyui")));
    let image = images.name("comfyui");
    let label = |name: &str| {
        ask(&["image", "inspect", "--format", &format!("{{{{index .Config.Labels \"{name}\"}}}}"), &image])
    };
    assert_eq!(label("org.opencontainers.image.version"), "0.0.7");
    let name = fresh_name("run");
    let own = ["run", "--rm", "--name", &name, "--network", "none", "--env", "TAKUMI_LOG=warn"];
    let run = |more: &[&str]| {
        let output = engine(&[&own[..], more].concat()).output().unwrap();
        text(&output.stdout) + &text(&output.stderr)
    };
    let said = run(&["--env", "COMFYUI_ARGS=--preview-method 'none yet'", &image]);
    assert!(said.contains("--listen 0.0.0.0 --port 8188 --base-directory /data"), "{said}");
    assert!(said.contains("--cpu --preview-method none yet"), "{said}");
    assert!(said.contains("needs 2.0.0 as 1000"), "{said}");
    assert_eq!(run(&["--entrypoint", "ls", &image, "-A", "/app"]), "comfyui_version.py\nmain.py\nrequirements.txt\n");

    build().ends_with(0).says("nothing has changed");
    std::fs::write(folder.0.join("main.py"), format!("{MAIN}print('changed')\n")).unwrap();
    build().ends_with(0).never_says("nothing has changed");
    assert!(run(&[&image]).contains("changed"));
}

#[test]
fn a_bad_line_of_the_allow_list_is_refused_by_the_build() {
    if !has_docker() {
        return;
    }
    let images = Images { prefix: fresh_name("list") };
    let tree = Folder::new();
    for part in ["scripts", "image"] {
        let from = Path::new(REPOSITORY).join(part);
        assert!(Command::new("cp").arg("-r").arg(from).arg(&tree.0).status().unwrap().success());
    }
    std::fs::write(tree.0.join("image/gateway/allow/own.txt"), "huggingface.co\nhttps://example.org/\n").unwrap();
    images
        .build(&tree.0, &["gateway"])
        .ends_with(1)
        .says("own.txt")
        .says("https://example.org/")
        .says("cannot be used");
}

#[test]
fn a_moving_name_is_no_commit() {
    let output =
        Command::new(format!("{REPOSITORY}/scripts/build.sh")).env("COMFYUI_COMMIT", "v0.3.64").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("COMFYUI_COMMIT=v0.3.64: expected a commit"), "{}", text(&output.stderr));
}
