//! aiohttp and the proxy: ComfyUI's API nodes on a network that has no way out but a real tinyproxy.

use super::world::{ComfyImage, ComfyVolumes, parse_json};
use serde_json::Value;
use takumi_test::container::Start;
use takumi_test::engine::{Container, Network, ask};
use takumi_test::folder::fresh_name;
use takumi_test::image::built;
use takumi_test::require;

/// In an image that has it.
fn tinyproxy(inside: &Network, outside: &Network) -> Container {
    let container = Container { name: fresh_name("tinyproxy") };
    let conf = "printf 'Port 8888\\nListen 0.0.0.0\\nTimeout 30\\nConnectPort 443\\nLogLevel Info\\n' >/tmp/conf; exec tinyproxy -d -c /tmp/conf";
    let words = ["run", "--detach", "--name", &container.name, "--network", &outside.name];
    ask(&[&words[..], &["--entrypoint", "sh", &built("egress"), "-c", conf]].concat());
    ask(&["network", "connect", "--alias", "proxy", &inside.name, &container.name]);
    container
}

/// HTTP and HTTPS beyond the proxy. The container goes before its volumes.
fn api(world: &ComfyImage, outside: &Network) -> (Container, ComfyVolumes) {
    let kept = ComfyVolumes::new();
    let start = kept.on(world.start()).options(&["--network", &outside.name, "--network-alias", "api"]);
    let start = start.options(&["--sysctl", "net.ipv4.ip_unprivileged_port_start=0"]);
    let container = start.env("COMFYUI_ARGS", "--probe serve").spawn();
    container.await_words("ready");
    (container, kept)
}

const PROXY: &str = "http://proxy:8888";

#[test]
fn aiohttp_s_default_session_takes_the_proxy() {
    require!(comfyui, gateway, pip3);
    let world = ComfyImage::new();
    let inside = Network::new("inside", &["--internal"]);
    let outside = Network::new("outside", &[]);
    let proxy = tinyproxy(&inside, &outside);
    let _api = api(&world, &outside);
    proxy.await_words("Accepting connections");
    let kept = ComfyVolumes::new();
    let start = || -> Start<'_> {
        // As in image/compose.yaml, so that a name that nobody has is no long wait.
        let network = ["--network", &inside.name, "--dns", "127.0.0.1", "--dns-opt", "timeout:1"];
        // The sandbox would keep it from a loopback port that is no server of its own.
        world.start().options(&network).env("TAKUMI_EGRESS", "off").env("TAKUMI_CONFINE", "off")
    };
    let both = "several http://api/ https://api/";
    let said = |said: &Value, url: &str| said[url]["body"].clone();

    // Small letters, and large ones.
    for (http, https) in [("http_proxy", "https_proxy"), ("HTTP_PROXY", "HTTPS_PROXY")] {
        let seen = kept.probe(start().env(http, PROXY).env(https, PROXY), both);
        assert_eq!(said(&seen, "http://api/"), "the api", "{seen:#}");
        assert_eq!(said(&seen, "https://api/"), "the api", "{seen:#}");
    }
    assert!(proxy.logs().0.contains("CONNECT api:443"), "{:?}", proxy.logs());

    // A session that says no, and a host that is named in NO_PROXY, get no proxy.
    let with = || start().env("HTTP_PROXY", PROXY).env("HTTPS_PROXY", PROXY);
    let seen = kept.probe(with(), "several https://api/#untrusting");
    assert!(seen["https://api/#untrusting"]["error"].is_string(), "{seen:#}");
    let seen = kept.probe(with().env("NO_PROXY", "api"), both);
    assert!(seen["https://api/"]["error"].is_string(), "{seen:#}");

    // What runs in this container itself is not asked for at the proxy, whether somebody thought of it or not.
    for start in [with(), with().env("NO_PROXY", "elsewhere")] {
        let seen = kept.probe(start, "loopback");
        assert_eq!(seen["status"], 200, "{seen:#}");
    }

    // The controls: without a proxy there is no way, and neither is there with aiohttp as its authors ship it.
    let seen = kept.probe(start(), both);
    assert!(seen["https://api/"]["error"].is_string(), "{seen:#}");
    let off = [
        "/opt/venv/bin/python",
        "-S",
        "-c",
        "import sys, glob; sys.path[1:1] = glob.glob('/opt/venv/lib/python3*/site-packages'); \
        sys.argv = ['probes', 'several', 'https://api/']; exec(open('/app/probes.py').read())",
    ];
    let seen = parse_json(&kept.on(with()).command(&off).run());
    assert!(seen["https://api/"]["error"].is_string(), "aiohttp takes the proxy by itself now: {seen:#}");
}
