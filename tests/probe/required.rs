//! What was required at the start, and is lost afterwards.

use crate::inside::PidNamespace;
use crate::server::Server;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use takumi_test::folder::Folder;
use takumi_test::poll::eventually;
use takumi_test::require;

struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_proxy_that_dies_or_hangs_makes_it_unhealthy_in_time() {
    require!(namespaces, tinyproxy);
    let folder = Folder::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let (filter, configuration) = (folder.0.join("filter"), folder.0.join("tinyproxy.conf"));
    std::fs::write(&filter, "^huggingface\\.co$\n").unwrap();
    let lines = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 30\nAllow 127.0.0.1\nConnectPort 443\nFilter \"{}\"\nFilterDefaultDeny Yes\n",
        filter.display()
    );
    std::fs::write(&configuration, lines).unwrap();
    let tinyproxy = Command::new("tinyproxy").arg("-d").arg("-c").arg(&configuration).stdout(Stdio::null()).spawn();
    let mut proxy = Proxy(tinyproxy.unwrap());
    eventually("tinyproxy", || TcpStream::connect(("127.0.0.1", port)).ok());

    let server = Server::good();
    let (of_proxy, of_server) = (format!("http://127.0.0.1:{port}"), server.url());
    let environment = [
        ("HTTPS_PROXY", of_proxy.as_str()),
        ("TAKUMI_REQUIRE", "proxy-reachable,proxy-denies"),
        ("TAKUMI_HEALTH_URL", of_server.as_str()),
        ("TAKUMI_HEALTH_TIMEOUT", "10s"),
    ];
    let inside = PidNamespace::init(&environment, &["sleep", "600"]);
    let check = || inside.check(&environment);
    check().expect("healthy");
    let id = proxy.0.id();
    inside.signal(id, libc::SIGSTOP);
    let checked = check();
    checked.expect("unhealthy").says("proxy-").says("answers 200").says("fix: ");
    inside.signal(id, libc::SIGCONT);
    check().expect("healthy");
    proxy.0.kill().unwrap();
    proxy.0.wait().unwrap();
    check().expect("unhealthy").says("proxy-reachable fail: ").says("answers 200");
}

/// A filesystem whose server hangs holds whoever asks it in the kernel, where no signal of an ordinary user's ends the wait.
#[test]
fn a_volume_that_hangs_makes_it_unhealthy_in_time() {
    require!(namespaces, bindfs);
    let (below, at) = (Folder::new(), Folder::new());
    std::os::unix::fs::chown(&below.0, Some(1000), Some(1000)).unwrap();
    let place = at.0.to_str().unwrap();
    let line = format!(
        "bindfs -f -o attr_timeout=0,entry_timeout=0 {} {place} & while ! mountpoint -q {place}; do sleep 0.02; done",
        below.0.display()
    );
    let server = Server::good();
    let url = server.url();
    let environment = [
        ("TAKUMI_VOLUMES", place),
        ("TAKUMI_OWNERSHIP", "verify"),
        ("TAKUMI_REQUIRE", "volumes"),
        ("TAKUMI_HEALTH_URL", url.as_str()),
        ("TAKUMI_HEALTH_TIMEOUT", "10s"),
    ];
    let inside = PidNamespace::init_after(&line, &environment, &["sleep", "600"]);
    inside.check(&environment).expect("healthy");
    let bindfs = eventually("bindfs", || {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", inside.first)).ok()?;
        children
            .split_whitespace()
            .map(|id| id.parse::<u32>().unwrap())
            .find(|id| std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|comm| comm.trim() == "bindfs"))
    });
    inside.signal(bindfs, libc::SIGSTOP);
    let checked = inside.check(&environment);
    inside.signal(bindfs, libc::SIGCONT);
    checked.expect("unhealthy").says("volumes unknown: no answer").says("answers 200");
}
