//! /run/takumi/report.json, which a start leaves for the probe.

use super::seen::{hardened, run, with_tmpfs};
use serde_json::Value;
use takumi_test::container::Start;
use takumi_test::engine::Volume;
use takumi_test::folder::Folder;
use takumi_test::image::Image;
use takumi_test::program::Ended;
use takumi_test::require;

const SHOW: &str = "stat -c '%u:%g %a %F' /run/takumi /run/takumi/report.json; cat /run/takumi/report.json; echo; \
    cut -d' ' -f22 /proc/1/stat; cat /proc/sys/kernel/random/boot_id";

#[test]
fn the_file_is_roots_says_what_the_start_said_and_holds_no_secret() {
    require!(demo);
    let image = Image::demo();
    let folder = Folder::new();
    let secrets = ["hunter-in-a-file", "hunter-in-an-env-file", "hunter-in-a-proxy", "hunter-of-the-app"];
    std::fs::write(folder.0.join("token"), secrets[0]).unwrap();
    std::fs::write(folder.0.join("env"), format!("API_KEY={}\n", secrets[1])).unwrap();
    let start = || {
        hardened(&image)
            .fresh_data()
            .options(&["-v", &format!("{}:/run/secrets:ro", folder.0.display())])
            .env("TAKUMI_SECRETS", "HF_TOKEN")
            .env("HF_TOKEN_FILE", "/run/secrets/token")
            .env("TAKUMI_ENV_FILE", "/run/secrets/env")
            .env("http_proxy", &format!("http://me:{}@127.0.0.1:9", secrets[2]))
            .env("PASSWORD", secrets[3])
            .env("TAKUMI_HEALTH_URL", "http://127.0.0.1:8188/prompt")
            .env("TAKUMI_LOG_FORMAT", "json")
            .env("TAKUMI_LOG", "debug")
    };
    let control = "test \"$HF_TOKEN\" = hunter-in-a-file && test \"$API_KEY\" = hunter-in-an-env-file && ";
    let Ended { code, stdout, stderr } = run(&start().shell(&(control.to_owned() + SHOW)));
    assert_eq!(code, 0, "{stdout}{stderr}");
    let mut lines = stdout.lines();
    assert_eq!(lines.next(), Some("0:0 755 directory"));
    assert_eq!(lines.next(), Some("0:0 444 regular file"));
    let json = lines.next().unwrap();
    for secret in secrets {
        assert!(!json.contains(secret) && !stderr.contains(secret), "{secret} in {json}{stderr}");
    }
    let state: Value = serde_json::from_str(json).unwrap();
    assert_eq!((&state["version"], &state["verdict"]), (&1.into(), &"weak".into()));
    assert_eq!(state["identity"], serde_json::json!({"user": 1000, "group": 1000, "groups": [1000]}));
    assert_eq!(state["process"]["id"], 1);
    assert_eq!(state["process"]["start_time"].to_string(), lines.next().unwrap());
    assert_eq!(state["process"]["boot"], lines.next().unwrap());
    let settings: Vec<&str> = state["settings"].as_array().unwrap().iter().map(|each| each.as_str().unwrap()).collect();
    assert!(settings.contains(&"TAKUMI_HEALTH_URL=http://127.0.0.1:8188/prompt"), "{settings:?}");
    assert!(settings.iter().all(|each| each.starts_with("TAKUMI_")), "{settings:?}");
    // What the start said is what it wrote.
    let told = stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told: Vec<Value> = told.filter_map(|line| line.get("finding").cloned()).collect();
    assert_eq!(state["findings"].as_array().unwrap(), &told);
    assert!(told.len() > 20, "{stderr}");
}

#[test]
fn without_a_place_for_it_a_start_goes_on() {
    require!(demo);
    let image = Image::demo();
    let start = with_tmpfs(&image, &["/tmp:rw,nosuid,nodev,noexec,size=64m"]).fresh_data().shell("echo ran");
    let Ended { code, stdout, stderr } = run(&start);
    assert_eq!((code, &stdout[..]), (0, "ran\n"), "{stderr}");
    let lines: Vec<&str> = stderr.lines().filter(|line| line.contains("report.json")).collect();
    let [line] = lines[..] else { panic!("{stderr}") };
    assert!(
        line.starts_with("init: ") && line.contains("Read-only file system") && line.contains("--tmpfs /run"),
        "{line}"
    );
    // At `warn` it is not said: the start is healthy.
    let Ended { code, stderr, .. } = run(&start.env("TAKUMI_LOG", "warn"));
    assert_eq!((code, &stderr[..]), (0, ""));
}

/// /run kept between starts, and open to the app's user, who has prepared the next one.
#[test]
fn what_the_apps_user_left_there_is_not_followed() {
    require!(demo);
    let image = Image::demo();
    for (left, after) in [
        ("mkdir /data/elsewhere && ln -s elsewhere /data/takumi", "ls -A /run/elsewhere; stat -c %F /run/takumi"),
        ("mkdir /data/takumi", "ls -A /run/takumi; stat -c %F:%u /run/takumi"),
        ("echo x > /data/takumi", "cat /run/takumi; stat -c %F:%u /run/takumi"),
    ] {
        let kept = Volume::new();
        kept.root_shell(&image, &format!("chmod 1777 /data; {left}; chown -hR 1000:1000 /data/takumi; echo done"));
        let start =
            Start::bare(&image).options(&["--tmpfs", "/tmp", "-v", &format!("{}:/run", kept.name)]).fresh_data();
        let Ended { code, stdout, stderr } = run(&start.shell(after));
        assert_eq!(code, 0, "{stderr}");
        let expected = match left {
            _ if left.contains("ln ") => "symbolic link\n",
            _ if left.contains("mkdir") => "directory:1000\n",
            _ => "x\nregular file:1000\n",
        };
        assert_eq!(stdout, expected, "{left}: {stderr}");
        assert_eq!(stderr.lines().filter(|line| line.contains("/run/takumi/report.json: ")).count(), 1, "{stderr}");
    }
    // The control: root's own of an earlier start, and a link inside it, are replaced.
    let kept = Volume::new();
    kept.root_shell(&image, "mkdir -m 755 /data/takumi; echo old > /data/old; ln -s ../old /data/takumi/report.json");
    let start = Start::bare(&image).options(&["--tmpfs", "/tmp", "-v", &format!("{}:/run", kept.name)]).fresh_data();
    let Ended { code, stdout, stderr } =
        run(&start
            .shell("cat /run/old; stat -c '%u:%g %a %F' /run/takumi/report.json; wc -c < /run/takumi/report.json"));
    assert_eq!(code, 0, "{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[..2], ["old", "0:0 444 regular file"], "{stderr}");
    assert!(lines[2].parse::<u32>().unwrap() > 1000, "{stdout}");
}
