//! A network namespace, what is in it, and what it is joined to.
#![allow(unsafe_code)]

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use takumi_test::folder::fresh_name;
use takumi_test::program::run;

/// One that goes with its value.
pub struct Namespace {
    pub name: String,
}

impl Namespace {
    /// With nothing but a loopback device.
    #[track_caller]
    pub fn new(kind: &str) -> Namespace {
        let space = Namespace { name: fresh_name(kind) };
        ip(&["netns", "add", &space.name]);
        space.ip(&["link", "set", "lo", "up"]);
        // Nobody else has an address of ours: links need not wait a second to find that out.
        space.shell("echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad");
        space
    }

    /// A link to another one: this one has the addresses that end in 1.
    #[track_caller]
    pub fn join(&self, link: &str, other: &Namespace, its: &str, number: u8) {
        let peer = ["type", "veth", "peer", "name", its, "netns", &other.name];
        ip(&[&["link", "add", "name", link, "netns", &self.name], &peer[..]].concat());
        for (space, link, last) in [(self, link, 1), (other, its, 2)] {
            space.ip(&["addr", "add", &format!("10.{number}.1.{last}/24"), "dev", link]);
            space.ip(&["addr", "add", &format!("fd{number}:1::{last}/64"), "dev", link, "nodad"]);
            space.ip(&["link", "set", link, "up"]);
        }
    }

    /// `ip` in here.
    #[track_caller]
    pub fn ip(&self, words: &[&str]) {
        ip(&[&["-n", &self.name], words].concat());
    }

    /// A line of shell in here, which has to succeed.
    #[track_caller]
    pub fn shell(&self, line: &str) -> String {
        ip(&["netns", "exec", &self.name, "sh", "-e", "-c", line])
    }

    /// What happens to packets that pass through: nftables' words for a rule.
    #[track_caller]
    pub fn forwarding(&self, rule: &str) {
        self.chain("forward", rule);
    }

    /// The same for another hook.
    #[track_caller]
    pub fn chain(&self, hook: &str, rule: &str) {
        let chain = format!("chain {hook} {{\ntype filter hook {hook} priority 0\n{rule}\n}}");
        self.shell(&format!("nft -f - <<'RULES'\ntable inet test {{\n{chain}\n}}\nRULES"));
    }

    /// A further address of its own.
    #[track_caller]
    pub fn address(&self, address: &str) {
        self.ip(&["addr", "add", address, "dev", "lo"]);
    }

    pub fn listen(&self, address: &str) -> TcpListener {
        let address: SocketAddr = address.parse().unwrap();
        self.within(move || TcpListener::bind(address).unwrap())
    }

    /// Does something in here.
    pub fn within<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> T {
        let file = File::open(format!("/run/netns/{}", self.name)).unwrap();
        let inside = move || {
            // SAFETY: concerns the calling thread alone, which ends here.
            assert_eq!(unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) }, 0);
            act()
        };
        std::thread::spawn(inside).join().unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

#[track_caller]
fn ip(words: &[&str]) -> String {
    run(Command::new("ip").args(words)).ends_with(0).stdout
}
