//! Who writes where: nothing that a library keeps needs the root.

use super::libraries;
use super::world::{ComfyImage, ComfyVolumes, as_app, parse_json};
use serde_json::Value;
use takumi_test::container::Start;
use takumi_test::program::REPOSITORY;
use takumi_test::{require, torch};

/// What PyTorch's own libraries answer. Beside the others these are left out where it is not in the image, and only these: they have an
/// image of their own, on a base with Debian's PyTorch and a compiler.
const OF_TORCH: [&str; 4] = ["torch_extensions", "torch_hub", "torch_inductor", "triton_cache"];

fn names(probes: &Value, kind: &str) -> Vec<String> {
    let probes = probes.as_object().unwrap();
    let mut names: Vec<String> =
        probes.iter().filter(|(_, said)| said.get(kind).is_some()).map(|(name, _)| name.clone()).collect();
    names.sort();
    names
}

#[track_caller]
fn all_held(probes: &Value) {
    assert_eq!(names(probes, "error"), [""; 0], "{probes:#}");
    let left_out = names(probes, "left_out");
    assert!(left_out.is_empty() || left_out == OF_TORCH, "{probes:#}");
    assert_eq!(names(probes, "held").len() + left_out.len(), 28, "{probes:#}");
}

#[test]
fn twenty_eight_caches_have_a_place_at_the_first_start_and_at_the_second() {
    require!(comfyui, pip3);
    let world = ComfyImage::new();
    let kept = ComfyVolumes::new();
    let first = kept.probe(world.start(), "caches");
    all_held(&first);
    assert_eq!(first["numba_cache"]["held"]["hits"], 0, "{first:#}");
    // In another container, on the same volumes.
    let second = kept.probe(world.start(), "caches");
    all_held(&second);
    assert_eq!(second["numba_cache"]["held"]["hits"], 1, "what was compiled is not found again: {second:#}");
}

#[test]
fn the_caches_of_pytorch_have_a_place_and_what_is_compiled_is_found_again() {
    require!(torch, comfyui, pip3);
    let image = torch::image();
    let triton = libraries::triton(&image);
    let programs = format!("{REPOSITORY}/tests/stack/comfyui/programs");
    let mut mounts = [
        format!("{}:/triton:ro", triton.display()),
        format!("{REPOSITORY}/image/python/launcher.py:/opt/launcher.py:ro"),
        format!("{programs}/probes.py:/app/probes.py:ro"),
        format!("{programs}/main.py:/app/main.py:ro"),
    ]
    .map(|mount| ["-v".to_owned(), mount])
    .concat();
    // The nodes' environment sees what the baked one has, and here that is Debian's.
    mounts.extend(["--env".to_owned(), "PYTHONPATH=/triton:/usr/lib/python3/dist-packages".to_owned()]);
    let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
    let start = || torch::start(&image).options(&mounts).command(&["python3", "-I", "/opt/launcher.py"]);
    let kept = ComfyVolumes::new();
    let probe = || {
        let probes = kept.probe(start(), &format!("caches {}", OF_TORCH.join(" ")));
        assert_eq!(names(&probes, "held"), OF_TORCH, "{probes:#}");
        probes["torch_inductor"]["held"]["hits"].as_u64().unwrap()
    };
    // In another container, on the same volumes.
    assert_eq!([probe(), probe()], [0, 1]);
    assert_eq!(without_variables(&kept, start(), "python3", &OF_TORCH), OF_TORCH, "control");
}

/// Which of these probes fail, or of all, with the environment that the libraries have elsewhere.
fn without_variables(kept: &ComfyVolumes, start: Start, python: &str, probes: &[&str]) -> Vec<String> {
    let redirects = [
        "XDG_CACHE_HOME", "HF_HOME", "TORCH_HOME", "TORCH_EXTENSIONS_DIR", "TORCHINDUCTOR_CACHE_DIR",
        "TRITON_CACHE_DIR", "NUMBA_CACHE_DIR", "MPLCONFIGDIR", "PIP_CACHE_DIR", "UV_CACHE_DIR", "PYTHONPYCACHEPREFIX",
        "XDG_DATA_HOME",
    ];
    let mut command = vec!["env"];
    command.extend(redirects.iter().flat_map(|name| ["-u", name]));
    command.extend(["HOME=/nobody", python, "-I", "/opt/launcher.py", "--probe", "caches"]);
    command.extend(probes);
    names(&parse_json(&kept.on(start).command(&command).run()), "error")
}

/// The control: the same libraries with the environment that they have elsewhere.
#[test]
fn without_the_image_s_variables_the_caches_fail() {
    require!(comfyui, pip3);
    let world = ComfyImage::new();
    let failed = without_variables(&ComfyVolumes::new(), world.start(), "/opt/venv/bin/python", &[]);
    for name in [
        "compiled_python", "git_config", "home", "huggingface_assets", "huggingface_hub_cache", "huggingface_token",
        "library_from_caches", "matplotlib_fonts", "numba_cache", "pip_cache", "program_from_caches",
        "transformers_modules", "uv_freeze", "xdg_cache",
    ] {
        assert!(failed.contains(&name.to_owned()), "{name} holds without: {failed:?}");
    }
}

#[test]
fn the_stand_in_boots_twice_and_its_files_are_there_again() {
    require!(comfyui, pip3);
    let world = ComfyImage::new();
    let kept = ComfyVolumes::new();
    for boot in ["first", "second"] {
        let app = kept.on(world.start()).app();
        // ComfyUI does not start without the folder of its nodes.
        let line = "ls -d custom_nodes models input output user && test -e user/seen && echo again; touch user/seen";
        let seen = as_app(&app.container, &["sh", "-c", &format!("cd /data && {{ {line}; }}")]);
        assert_eq!(seen.code, 0, "{boot}: {seen:?}");
        assert_eq!(seen.stdout.contains("again"), boot == "second", "{boot}: {seen:?}");
        app.container.stop().ends_with(0);
    }
}
