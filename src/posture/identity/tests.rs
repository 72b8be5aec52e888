use super::super::{engines::hardened, evaluate_check};
use super::*;
use crate::machine::namespaces::Namespaces;
use crate::machine::sockets::Sockets;
use crate::machine::status::ProcStatus;
use crate::machine::user_namespace::UserNamespace;
use crate::posture::finding::CheckStatus::{self, Fail, Pass, Skipped, Unknown};
use crate::settings::Settings;

/// What one change of a hardened machine makes of a check.
#[track_caller]
fn expect(check: Check, change: impl FnOnce(&mut Machine), status: CheckStatus, detail: &str, fix: &str) {
    let mut machine = hardened();
    change(&mut machine);
    let finding = evaluate_check(check, &Settings::default(), &machine).unwrap();
    assert_eq!((finding.status, &finding.detail[..]), (status, detail), "{check}");
    assert_eq!(finding.fix.unwrap_or_default(), fix, "{check}");
}

const PROC: &str = "mount /proc in the container, as every engine does";

#[test]
fn without_proc_nothing_is_known() {
    let gone = Errno(libc::ENOENT);
    let words = |what| format!("{what} cannot be read: {gone}");
    expect(Check::UserNamespace, |m| m.user_namespace = Err(gone), Unknown, &words("/proc/self/uid_map"), PROC);
    for id in [Check::Seccomp, Check::PrivilegedContainer] {
        expect(id, |m| m.status = Err(gone), Unknown, &words("/proc/self/status"), PROC);
    }
    let no_mounts = |m: &mut Machine| (m.mounts, m.sockets) = (Err(gone), None);
    expect(Check::RuntimeSocket, no_mounts, Unknown, &words("/proc/self/mountinfo"), PROC);
    for number in 0..4 {
        let unseen = |m: &mut Machine| {
            let n = &mut m.namespaces;
            *[&mut n.pid, &mut n.ipc, &mut n.uts, &mut n.net][number] = Err(gone);
        };
        expect(Check::HostNamespaces, unseen, Unknown, &words("/proc/self/ns"), PROC);
    }
    let closed = |m: &mut Machine| m.label = Err(Errno(libc::EACCES));
    let words = format!("/proc/self/attr/current cannot be read: {}", Errno(libc::EACCES));
    expect(Check::Apparmor, closed, Unknown, &words, PROC);
    expect(Check::RuntimeSocket, |m| m.sockets = None, Skipped, "not checked", "");
    let no_proc = |m: &mut Machine| (m.label, m.status) = (Err(gone), Err(gone));
    expect(Check::Apparmor, no_proc, Unknown, &format!("/proc/self/attr/current cannot be read: {gone}"), PROC);
}

#[test]
fn root_is_who_the_map_says() {
    let fix = "run the engine rootless (scripts/setup_rootless.sh) or with userns-remap; whoever breaks out is then an ordinary user";
    for (map, status, detail) in [
        ("0 0 4294967295", Fail, "container root is host root"),
        ("0 0 65536", Fail, "container root is root of the outer user namespace (0-65535→0-65535)"),
        ("0 1500 1\n1 100000 65536", Pass, "container root is uid 1500 outside"),
        ("0 100000 65536", Pass, "container root is uid 100000 outside"),
        ("1000 1000 1", Pass, "this user namespace has no root"),
    ] {
        let change = |m: &mut Machine| m.user_namespace = Ok(UserNamespace::from_map(map.as_bytes()));
        expect(Check::UserNamespace, change, status, detail, if status == Fail { fix } else { "" });
    }
}

#[test]
fn a_filter_is_seen_by_its_mode() {
    let off = "remove --security-opt seccomp=unconfined and --privileged (Kubernetes: seccompProfile RuntimeDefault)";
    let kernel = "use a kernel with CONFIG_SECCOMP_FILTER and an engine that sets a profile";
    for (mode, filters, status, detail, fix) in [
        (Some(2), Some(1), Pass, "seccomp filter active", ""),
        (Some(2), Some(3), Pass, "seccomp: 3 filters active", ""),
        (Some(2), None, Pass, "seccomp filter active", ""),
        (Some(0), Some(0), Fail, "no seccomp filter", off),
        (Some(0), None, Fail, "no seccomp filter", off),
        (Some(7), None, Unknown, "unknown seccomp mode 7", "update init"),
        (None, None, Unknown, "/proc/self/status has no Seccomp line", kernel),
    ] {
        let status_of = |s: &ProcStatus| ProcStatus { seccomp: mode, seccomp_filters: filters, ..s.clone() };
        expect(Check::Seccomp, |m| m.status = m.status.as_ref().map(status_of).map_err(|e| *e), status, detail, fix);
    }
}

#[test]
fn a_label_is_of_apparmor_or_of_selinux() {
    const OFF: &str = "remove --security-opt apparmor=unconfined and --privileged";
    const WATCHES: &str = "on the host: sudo aa-enforce /etc/apparmor.d/PROFILE";
    const LABEL: &str = "remove --privileged and --security-opt label=disable (Docker: selinux-enabled in daemon.json)";
    const ROOTLESS: &str = "a rootless engine cannot load AppArmor profiles";
    let (held, missing, skipped) = (Pass, Fail, Skipped);
    for (label, rootless, status, detail, fix) in [
        ("docker-default (enforce)", false, held, "AppArmor: docker-default", ""),
        ("docker-default (kill)", false, held, "AppArmor: docker-default", ""),
        ("containers-default-0.57 (enforce)", true, held, "AppArmor: containers-default-0.57", ""),
        ("a//&:lxd-a_</var/lib/lxd>:p (enforce)", false, held, "AppArmor: a//&:lxd-a_</var/lib/lxd>:p", ""),
        ("unconfined", false, missing, "AppArmor does not confine this process", OFF),
        ("unconfined", true, skipped, ROOTLESS, ""),
        ("rootlesskit (unconfined)", true, skipped, ROOTLESS, ""),
        ("runc (unconfined)", false, missing, "AppArmor does not confine this process", OFF),
        (
            "docker-default (complain)",
            false,
            missing,
            "AppArmor only logs (complain mode): docker-default (complain)",
            WATCHES,
        ),
        ("system_u:system_r:container_t:s0:c1", false, held, "SELinux: system_u:system_r:container_t:s0:c1", ""),
        ("a:b:spc_t:s0", false, missing, "SELinux does not confine this process: a:b:spc_t:s0", LABEL),
        ("a:b:unconfined_t:s0", true, missing, "SELinux does not confine this process: a:b:unconfined_t:s0", LABEL),
        ("kernel", false, skipped, "the label kernel is neither AppArmor's nor SELinux's", ""),
        ("_", false, skipped, "the label _ is neither AppArmor's nor SELinux's", ""),
    ] {
        let change = |m: &mut Machine| {
            m.label = Ok(label.as_bytes().to_vec());
            let map: &[u8] = if rootless { b"0 1500 1\n1 100000 65536" } else { b"0 0 4294967295" };
            m.user_namespace = Ok(UserNamespace::from_map(map));
        };
        expect(Check::Apparmor, change, status, detail, fix);
    }
    for errno in [libc::EINVAL, libc::ENOENT, libc::ENOPROTOOPT, libc::EOPNOTSUPP] {
        let change = |m: &mut Machine| m.label = Err(Errno(errno));
        expect(Check::Apparmor, change, skipped, "this host has neither AppArmor nor SELinux", "");
    }
}

#[test]
fn each_capability_and_device_of_a_host_counts() {
    let fix = "remove --privileged, the --cap-add of these, and --device for disks and kernel memory";
    for (number, name) in HOST_CAPABILITIES {
        // Permitted, effective or bounding: each is a way to it. Inheritable and ambient cannot hold what permitted
        // lacks.
        for set in [1, 2, 3] {
            let change = |m: &mut Machine| {
                m.status.as_mut().unwrap().capabilities[set] = Some(1 << number);
            };
            let detail = format!("it was given CAP_{name}");
            expect(Check::PrivilegedContainer, change, Fail, &detail, fix);
        }
    }
    let every = |m: &mut Machine| m.status.as_mut().unwrap().capabilities = [Some(0x1ff_ffff_ffff); 5];
    let all = "it was given CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_SYS_BOOT, CAP_SYS_TIME, CAP_BPF";
    expect(Check::PrivilegedContainer, every, Fail, all, fix);
    // What Docker gives by default, and what a start needs.
    let docker = |m: &mut Machine| m.status.as_mut().unwrap().capabilities = [Some(0xa804_25fb | 1 << 2); 5];
    expect(Check::PrivilegedContainer, docker, Pass, "no capability or device that controls the host", "");
    let devices = |names: &'static [&'static str]| {
        move |m: &mut Machine| m.directories.host_devices = Ok(names.iter().map(ToString::to_string).collect())
    };
    for (names, shown) in [
        (&["kmsg"][..], "kmsg"),
        (&["a", "b", "c", "d"], "a, b, c, d"),
        (&["a", "b", "c", "d", "e"], "a, b, c, d and 1 more"),
    ] {
        let detail = format!("host devices in /dev: {shown}");
        expect(Check::PrivilegedContainer, devices(names), Fail, &detail, fix);
    }
    let unseen = |m: &mut Machine| m.directories.host_devices = Err(Errno(libc::ENOENT));
    expect(Check::PrivilegedContainer, unseen, Pass, "no capability or device that controls the host", "");
}

#[test]
fn each_namespace_of_the_host_is_told() {
    // include/linux/proc_ns.h
    assert_eq!(
        [INITIAL_NET_NS, INITIAL_PID_NS, INITIAL_UTS_NS, INITIAL_IPC_NS],
        [0xefff_fff9, 0xefff_fffc, 0xefff_fffe, 0xefff_ffff]
    );
    let expect = |change: &dyn Fn(&mut Namespaces), what: &str, fix: &str| {
        let change = |m: &mut Machine| change(&mut m.namespaces);
        expect(Check::HostNamespaces, change, Fail, &format!("shared with the host: {what}"), &format!("remove {fix}"));
    };
    expect(&|n| n.pid = Ok(INITIAL_PID_NS), "processes", "--pid host");
    expect(&|n| n.kernel_threads = true, "processes", "--pid host");
    expect(&|n| n.ipc = Ok(INITIAL_IPC_NS), "shared memory", "--ipc host");
    expect(&|n| n.uts = Ok(INITIAL_UTS_NS), "host name", "--uts host");
    expect(&|n| n.net = Ok(INITIAL_NET_NS), "network", "--network host");
    expect(&|n| n.host_interface = Some("docker0".into()), "network (interface docker0)", "--network host");
    let both = |n: &mut Namespaces| (n.net, n.host_interface) = (Ok(INITIAL_NET_NS), Some("docker0".into()));
    expect(&both, "network", "--network host");
    // What cannot be seen hides nothing that can.
    let half = |n: &mut Namespaces| (n.pid, n.net) = (Err(Errno(libc::EACCES)), Ok(INITIAL_NET_NS));
    expect(&half, "network", "--network host");
    let all = |n: &mut Namespaces| {
        (n.pid, n.ipc, n.uts, n.net) = (Ok(INITIAL_PID_NS), Ok(INITIAL_IPC_NS), Ok(INITIAL_UTS_NS), Ok(INITIAL_NET_NS));
    };
    let flags = "--pid host and --ipc host and --uts host and --network host";
    expect(&all, "processes, shared memory, host name, network", flags);
}

#[test]
fn a_socket_is_told_and_so_is_what_was_not_searched() {
    let seen = |found: &[&str], not_all: &[&str]| {
        let bytes = |paths: &[&str]| paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        Some(Sockets { found: bytes(found), incomplete: bytes(not_all) })
    };
    let one = seen(&["/run/docker.sock"], &["/data"]);
    let two = seen(&["/a/docker.sock", "/b/docker.sock"], &[]);
    let fix = "remove the mount that contains it";
    let words = "access to it is root on the host";
    let id = Check::RuntimeSocket;
    expect(id, |m| m.sockets = one, Fail, &format!("/run/docker.sock: {words}"), fix);
    expect(id, |m| m.sockets = two, Fail, &format!("/a/docker.sock and 1 more: {words}"), fix);
    let part = "no engine socket is mounted (only the first directories of /data were searched)";
    expect(id, |m| m.sockets = seen(&[], &["/data"]), Pass, part, "");
}

#[test]
fn each_limit_counts() {
    let (memory, processes, core) = ("--memory 16g", "--pids-limit 512", "--ulimit core=0");
    let id = Check::Limits;
    let missing = |change: &dyn Fn(&mut Machine), what: &str, flags: &[&str]| {
        expect(id, change, Fail, &format!("no limit on {what}"), &format!("add {}", flags.join(" ")));
    };
    missing(&|m| m.limits.memory = Limit::Unlimited, "memory", &[memory]);
    missing(&|m| m.limits.processes = Limit::Unlimited, "processes", &[processes]);
    for unlimited in [Limit::Unlimited, Limit::Limited(1), Limit::Unknown] {
        missing(&|m| m.limits.core = unlimited, "core files", &[core]);
    }
    let none = |m: &mut Machine| {
        (m.limits.memory, m.limits.processes, m.limits.core) = (Limit::Unlimited, Limit::Unlimited, Limit::Unlimited);
    };
    missing(&none, "memory, processes, core files", &[memory, processes, core]);
    let rootless = |m: &mut Machine| m.user_namespace = Ok(UserNamespace::from_map(b"0 1500 1\n1 100000 65536"));
    let version_2 = "(rootless engines need cgroup v2 for this)";
    let both = |m: &mut Machine| (rootless(m), m.limits.memory = Limit::Unlimited).1;
    missing(&both, "memory", &[memory, version_2]);
    let core_alone = |m: &mut Machine| (rootless(m), m.limits.core = Limit::Unlimited).1;
    missing(&core_alone, "core files", &[core]);
    // What is missing is told before what cannot be seen.
    missing(&|m| (m.limits.memory, m.limits.processes) = (Limit::Unknown, Limit::Unlimited), "processes", &[processes]);
    let fix = "mount /sys/fs/cgroup in the container, as engines do";
    let unseen = |m: &mut Machine| m.limits.memory = Limit::Unknown;
    expect(id, unseen, Unknown, "no cgroup shows a limit on memory", fix);
    let unseen = |m: &mut Machine| (m.limits.memory, m.limits.processes) = (Limit::Unknown, Limit::Unknown);
    expect(id, unseen, Unknown, "no cgroup shows a limit on memory, processes", fix);
}
