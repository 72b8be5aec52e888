//! What lies in the image of ComfyUI, and what its configuration says.

use crate::images;
use takumi_test::engine::{ask, engine};
use takumi_test::folder::fresh_name;
use takumi_test::image::Image;
use takumi_test::program::{Ended, run};
use takumi_test::require;

/// Prints a line for each thing that must not be there. Run as root, on the image's own files.
const AUDIT: &str = r#"
import os, stat
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if not os.path.ismount(os.path.join(folder, name))]
    for name in folders + files:
        path = os.path.join(folder, name)
        data = os.lstat(path)
        if stat.S_ISREG(data.st_mode) and data.st_mode & 0o6000:
            print("setuid", path)
        if name in ("curl", "wget", "gosu", "su-exec", "tini", "tini-static", "dumb-init", "catatonit", "sudo") and name in files:
            print("tool", path)
        baked = path.startswith(("/app", "/opt", "/init"))
        if baked and (data.st_uid or data.st_gid):
            print("owner", path)
        if baked and not stat.S_ISLNK(data.st_mode) and data.st_mode & 0o022:
            print("mode", path)
data = os.lstat("/init")
if not stat.S_ISREG(data.st_mode) or stat.S_IMODE(data.st_mode) != 0o711:
    print("init", oct(data.st_mode))
"#;

fn audit(image: &str) -> String {
    let name = fresh_name("audit");
    ask(&["run", "--rm", "--name", &name, "--network", "none", "--entrypoint", "python3", image, "-c", AUDIT])
}

#[test]
fn nothing_in_the_image_gives_privileges_or_can_be_changed() {
    require!(comfyui);
    let image = images::comfyui();
    assert_eq!(audit(&image.name), "");
    let worse = Image::build(
        "worse",
        &image.name,
        "RUN chmod u+s /usr/bin/env; touch /usr/bin/curl; chown 1000 /app/main.py; chmod o+w /app; chmod 0755 /init\n",
        &[],
    );
    let found = audit(&worse.name);
    for line in ["setuid /usr/bin/env", "tool /usr/bin/curl", "owner /app/main.py", "mode /app", "init 0o100755"] {
        assert!(found.lines().any(|found| found == line), "'{line}' is not in: {found}");
    }
}

#[test]
fn the_configuration_starts_init_and_asks_it_for_health() {
    require!(comfyui);
    let image = images::comfyui().name;
    let config = |field: &str| ask(&["image", "inspect", "--format", &format!("{{{{{field}}}}}"), &image]);
    assert_eq!(config("json .Config.Entrypoint"), r#"["/init"]"#);
    assert_eq!(config("json .Config.Healthcheck.Test"), r#"["CMD","/init","--check"]"#);
    assert!(config(".Config.Healthcheck.StartPeriod.Seconds").parse::<f64>().unwrap() >= 120.0);
    assert!(config(".Config.Healthcheck.Timeout.Seconds").parse::<f64>().unwrap() >= 15.0);
    assert_eq!(config(".Config.StopSignal"), "SIGTERM");
    assert_eq!(config(".Config.User"), "");
    for label in ["title", "description", "version", "revision", "licenses"] {
        let key = format!("org.opencontainers.image.{label}");
        assert_ne!(config(&format!("index .Config.Labels \"{key}\"")), "", "{key}");
    }
    assert_eq!(config("index .Config.Labels \"takumi.variant\""), "cpu");
}

/// A command in the image, behind `init`, with a root file system that the engine leaves writable.
fn in_image(image: &str, words: &[&str]) -> Ended {
    let name = fresh_name("run");
    let own = ["run", "--rm", "--name", &name, "--network", "none", "--env", "TAKUMI_LOG=warn", image];
    run(&mut engine(&[&own[..], words].concat()))
}

#[test]
fn bandit_runs_and_the_app_cannot_change_what_is_baked() {
    require!(comfyui);
    let image = images::comfyui().name;
    in_image(&image, &["/opt/bandit/bin/bandit", "--version"]).ends_with(0).says("bandit 1.");
    for path in ["/app/planted.py", "/app/main.py", "/opt/venv/bin/python", "/opt/bandit/planted", "/init"] {
        let ended = in_image(&image, &["python", "-c", &format!("open('{path}', 'ab')")]);
        let refused = ["PermissionError", "Text file busy"].iter().any(|word| ended.text().contains(word));
        assert!(ended.code != 0 && refused, "{path}: {ended:?}");
    }
    in_image(&image, &["python", "-c", "open('/data/written', 'ab'); import pip"]).ends_with(0);
}
