//! scripts/build.sh: ComfyUI from a directory, and what it refuses.

use std::path::Path;
use std::process::Command;
use takumi_test::engine::{ask, engine};
use takumi_test::folder::{Folder, fresh_name};
use takumi_test::level::full;
use takumi_test::program::{Ended, REPOSITORY, init, run};
use takumi_test::require;

/// As much of a ComfyUI as the build looks at: it needs a package, and prints how it was started.
const MAIN: &str = "import importlib.metadata, os, sys\nprint('argv', *sys.argv[1:])\n\
     print('needs', importlib.metadata.version('iniconfig'), 'as', os.getuid())\n";

/// What scripts/build.sh makes for this test alone, as PREFIX-comfyui and so on. It goes with the value.
struct Built {
    prefix: String,
}

impl Built {
    fn new() -> Built {
        Built { prefix: fresh_name("built") }
    }

    /// scripts/build.sh of a tree, with the binary under test, on the smallest base that has Python: the engine looks through all of it
    /// at each step.
    fn build(&self, tree: &Path, arguments: &[&str]) -> Ended {
        let mut command = Command::new(tree.join("scripts/build.sh"));
        command.args(arguments).env("IMAGE_PREFIX", &self.prefix).env("INIT", init()).env("BASE_IMAGE", "takumi-base");
        run(&mut command)
    }

    fn name(&self, which: &str) -> String {
        format!("{}-{which}", self.prefix)
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        for which in ["comfyui", "egress", "gateway"] {
            let _ = engine(&["image", "rm", "--force", &self.name(which)]).output();
        }
    }
}

/// The scripts and what they build, for a test that changes it.
fn tree() -> Folder {
    let tree = Folder::new();
    for part in ["scripts", "image"] {
        run(Command::new("cp").arg("-r").arg(Path::new(REPOSITORY).join(part)).arg(&tree.0)).ends_with(0);
    }
    tree
}

#[test]
fn comfyui_from_a_directory_with_its_requirements() {
    // takumi-base is there where the demonstration image is.
    require!(rootful_docker, demo, pip3);
    let (built, tree) = (Built::new(), tree());
    if !full() {
        // PyTorch is gigabytes, and this ComfyUI wants none.
        std::fs::write(tree.join("image/requirements/comfyui.txt"), "").unwrap();
    }
    let folder = Folder::new();
    let path = folder.0.to_str().unwrap();
    let build = || built.build(&tree.0, &["--comfyui", path, "comfyui"]);
    build().ends_with(1).says("is not a ComfyUI checkout: main.py or requirements.txt is missing");

    std::fs::write(folder.join("main.py"), MAIN).unwrap();
    std::fs::write(folder.join("requirements.txt"), "iniconfig==2.0.0\n").unwrap();
    std::fs::write(folder.join("comfyui_version.py"), "# Written by hand.\n\n__version__ = \"0.0.7\"\n").unwrap();
    std::fs::create_dir(folder.join(".git")).unwrap();
    let image = built.name("comfyui");
    build().ends_with(0).says(&format!("image: {image}"));
    let label = |name: &str| {
        ask(&["image", "inspect", "--format", &format!("{{{{index .Config.Labels \"{name}\"}}}}"), &image])
    };
    assert_eq!(label("org.opencontainers.image.version"), "0.0.7");
    let start = |more: &[&str]| {
        let name = fresh_name("run");
        let own = ["run", "--rm", "--name", &name, "--network", "none", "--env", "TAKUMI_LOG=warn"];
        run(&mut engine(&[&own[..], more].concat())).text()
    };
    let said = start(&["--env", "COMFYUI_ARGS=--preview-method 'none yet'", &image]);
    assert!(said.contains("--listen 0.0.0.0 --port 8188 --base-directory /data"), "{said}");
    assert!(said.contains("--cpu --preview-method none yet"), "{said}");
    assert!(said.contains("needs 2.0.0 as 1000"), "{said}");
    assert_eq!(start(&["--entrypoint", "ls", &image, "-A", "/app"]), "comfyui_version.py\nmain.py\nrequirements.txt\n");

    build().ends_with(0).says("nothing has changed");
    std::fs::write(folder.join("main.py"), format!("{MAIN}print('changed')\n")).unwrap();
    build().ends_with(0).never_says("nothing has changed");
    assert!(start(&[&image]).contains("changed"));
}

#[test]
fn a_bad_line_of_the_allow_list_is_refused_by_the_build() {
    require!(rootful_docker, pip3);
    let tree = tree();
    std::fs::write(tree.join("image/gateway/allow/own.txt"), "huggingface.co\nhttps://example.org/\n").unwrap();
    Built::new()
        .build(&tree.0, &["gateway"])
        .ends_with(1)
        .says("own.txt")
        .says("https://example.org/")
        .says("cannot be used");
}

#[test]
fn a_moving_name_is_no_commit() {
    let ended = run(Command::new(format!("{REPOSITORY}/scripts/build.sh")).env("COMFYUI_COMMIT", "v0.3.64"));
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("COMFYUI_COMMIT=v0.3.64: expected a commit"), "{}", ended.stderr);
}
