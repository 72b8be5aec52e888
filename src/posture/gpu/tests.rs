//! Fixtures made from documentation: no host with a GPU was at hand. tests/shields/gpu makes what can be made without one.

use super::*;
use crate::machine::devices::OpenOutcome;
use crate::machine::devices::driver::{Driver, Majors};
use crate::machine::devices::libraries::LibraryFile;
use crate::posture::engines::hardened;
use crate::posture::finding::Status;
use crate::settings::checks::Shield;
use crate::sys::device::DeviceNode as File;
use crate::sys::{Errno, GroupId, UserId};

const REGISTERED: &[u8] =
    b"Character devices:\n 10 misc\n195 nvidia\n195 nvidiactl\n226 drm\n235 nvidia-caps\n511 nvidia-uvm\n";

fn node(name: &str) -> GpuNode {
    let kind = GpuNodeKind::from_name(name.as_bytes()).unwrap();
    let major = match kind {
        GpuNodeKind::NvidiaMemory => 511,
        GpuNodeKind::NvidiaRight => 235,
        GpuNodeKind::Windows => 10,
        GpuNodeKind::Render => 226,
        _ => 195,
    };
    let file = File { mode: libc::S_IFCHR | 0o666, major, minor: 0, user: UserId(0), group: GroupId(0) };
    GpuNode { path: format!("/dev/{name}"), kind, file: Ok(file), open_outcome: OpenOutcome::Opened }
}

fn library(path: &str, version: &str) -> Library {
    Library::Found(LibraryFile { path: path.to_string(), version: Version::parse(version) })
}

/// A container as `--gpus all` makes it, with these nodes.
fn devices(names: &[&str]) -> Devices {
    Devices {
        nodes: names.iter().map(|name| node(name)).collect(),
        opened_as: Some(1000),
        driver: Driver {
            majors: Ok(Majors::parse(REGISTERED)),
            version: Version::parse("550.54.14"),
            mode: Some(0o666),
        },
        libraries: [
            library("/usr/lib/x86_64-linux-gnu/libcuda.so.1", "550.54.14"),
            library("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1", "550.54.14"),
        ],
        visible: None,
        capabilities: None,
        is_wsl: false,
        pci_vendors: vec![],
    }
}

const WHOLE: [&str; 3] = ["nvidia0", "nvidiactl", "nvidia-uvm"];
const ROOTFUL: Around = Around { namespace: None, mounts: None };

fn judge_devices(check: Check, gpu: Wanted, devices: Option<&Devices>, around: &Around) -> Finding {
    let unseen = Errno(libc::ENOENT);
    let machine = Machine {
        devices: devices.cloned(),
        user_namespace: around.namespace.cloned().ok_or(unseen),
        mounts: around.mounts.cloned().ok_or(unseen),
        ..hardened()
    };
    super::super::judge(check, &Settings { gpu, ..Settings::default() }, &machine).unwrap()
}

fn judged(check: Check, devices: &Devices) -> Finding {
    judge_devices(check, Wanted::Auto, Some(devices), &ROOTFUL)
}

#[track_caller]
fn expect(finding: &Finding, status: Status, detail: &str, fix: &str) {
    assert_eq!(finding.status, status, "{finding:?}");
    assert!(finding.detail.contains(detail), "expected '{detail}': {finding:?}");
    let seen = finding.fix.as_deref().unwrap_or_default();
    assert!(seen.contains(fix) && fix.is_empty() == seen.is_empty(), "expected '{fix}': {finding:?}");
}

#[test]
fn off_and_nothing_given_are_skipped() {
    let none = devices(&[]);
    for &id in Shield::Gpu.checks() {
        expect(&judge_devices(id, Wanted::Off, None, &ROOTFUL), Status::Skipped, "TAKUMI_GPU=off", "");
        expect(&judged(id, &none), Status::Skipped, "no GPU was given", "");
        for nothing in ["", "void", "none"] {
            let visible = Some(nothing.as_bytes().to_vec());
            expect(&judged(id, &Devices { visible, ..none.clone() }), Status::Skipped, "no GPU was given", "");
        }
    }
}

#[test]
fn a_gpu_that_was_asked_for_and_is_not_there_is_missing() {
    let none = Devices { visible: Some(b"all".to_vec()), ..devices(&[]) };
    expect(&judged(Check::GpuNodes, &none), Status::Missing, "NVIDIA_VISIBLE_DEVICES asks for \"all\"", "--gpus all");
    expect(&judged(Check::GpuAccess, &none), Status::Skipped, "no node", "");
    let required = judge_devices(Check::GpuNodes, Wanted::Require, Some(&devices(&[])), &ROOTFUL);
    expect(&required, Status::Missing, "no GPU in /dev", "--gpus all");
    let namespace = UserNamespace::from_map(b"0 1500 1\n1 100000 65536");
    let rootless = Around { namespace: Some(&namespace), mounts: None };
    let required = judge_devices(Check::GpuNodes, Wanted::Require, Some(&devices(&[])), &rootless);
    expect(&required, Status::Missing, "no GPU in /dev", "no-cgroups");
    let windows = Devices { is_wsl: true, ..none };
    expect(&judged(Check::GpuNodes, &windows), Status::Missing, "no GPU in /dev", "wsl --update");
}

#[test]
fn a_whole_gpu_holds_everything() {
    let whole = devices(&["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"]);
    expect(&judged(Check::GpuNodes, &whole), Status::Held, "2 NVIDIA GPU(s)", "");
    expect(&judged(Check::GpuAccess, &whole), Status::Held, "uid 1000 can open /dev/nvidia0, /dev/nvidia1", "");
    expect(&judged(Check::GpuDriver, &whole), Status::Held, "550.54.14", "");
    expect(&judged(Check::GpuLibraries, &whole), Status::Held, "libcuda.so.1", "");
}

#[test]
fn each_node_that_cuda_needs_is_named_where_it_is_missing() {
    let nodes = |names: &[&str]| judged(Check::GpuNodes, &devices(names));
    expect(&nodes(&["nvidia0", "nvidiactl"]), Status::Missing, "no /dev/nvidia-uvm", "nvidia-modprobe -u -c=0");
    expect(&nodes(&["nvidia0", "nvidia-uvm"]), Status::Missing, "no /dev/nvidiactl", "--device /dev/nvidiactl");
    expect(&nodes(&["nvidiactl", "nvidia-uvm"]), Status::Missing, "no /dev/nvidia0", "--device /dev/nvidia0");
    expect(&nodes(&["nvidia0"]), Status::Missing, "no /dev/nvidiactl, no /dev/nvidia-uvm", "--gpus all");
}

#[test]
fn gpus_of_other_makers_have_other_nodes() {
    let nodes =
        |names: &[&str], makers: Vec<u32>| judged(Check::GpuNodes, &Devices { pci_vendors: makers, ..devices(names) });
    expect(&nodes(&["dxg"], vec![]), Status::Held, "/dev/dxg", "");
    expect(&nodes(&["kfd", "dri/renderD128"], vec![AMD]), Status::Held, "/dev/kfd", "");
    expect(&nodes(&["kfd"], vec![]), Status::Missing, "no /dev/dri/renderD", "--device /dev/dri");
    expect(&nodes(&["dri/renderD128"], vec![AMD]), Status::Missing, "without /dev/kfd", "--device /dev/kfd");
    expect(&nodes(&["dri/renderD128"], vec![0x8086]), Status::Held, "1 render node", "");
    expect(&nodes(&["nvmap", "nvhost-gpu", "nvidia0"], vec![]), Status::Held, "Jetson", "");
    expect(&nodes(&["nvhost-gpu"], vec![]), Status::Missing, "/dev/nvmap", "--runtime nvidia");
    expect(&nodes(&["nvmap"], vec![]), Status::Missing, "not all are here", "--runtime nvidia");
    for names in [&["dxg"][..], &["kfd", "dri/renderD128"], &["nvmap", "nvhost-gpu"]] {
        expect(&judged(Check::GpuDriver, &devices(names)), Status::Skipped, "nothing to compare", "");
    }
    expect(&judged(Check::GpuLibraries, &devices(&["kfd", "dri/renderD128"])), Status::Skipped, "PyTorch", "");
    expect(&judged(Check::GpuLibraries, &devices(&["dxg"])), Status::Held, "libcuda.so.1", "");
}

#[test]
fn what_only_has_the_name_or_another_boots_number_is_no_node() {
    let mut seen = devices(&WHOLE);
    seen.nodes[2].file = seen.nodes[2].file.map(|file| File { major: 510, ..file });
    expect(
        &judged(Check::GpuNodes, &seen),
        Status::Missing,
        "/dev/nvidia-uvm has major 510, and the host's driver has 511",
        "anew",
    );
    seen.nodes[0].file = seen.nodes[0].file.map(|file| File { mode: libc::S_IFDIR | 0o755, ..file });
    expect(&judged(Check::GpuNodes, &seen), Status::Missing, "/dev/nvidia0 is no device", "not with -v");
    seen.nodes[0].file = Err(Errno(libc::ENOENT));
    expect(&judged(Check::GpuNodes, &seen), Status::Missing, "/dev/nvidia0 is no device", "not with -v");
}

fn refused(names: &[&str], errno: i32) -> Devices {
    let mut seen = devices(names);
    seen.nodes.iter_mut().for_each(|node| node.open_outcome = OpenOutcome::Failed(Errno(errno)));
    seen
}

#[test]
fn every_errno_has_its_own_diagnosis_and_several_nodes_are_one_line() {
    let cases = [
        (libc::EPERM, "device cgroup denies", "no-cgroups = false"),
        (libc::EACCES, "a security module does not", "container_use_devices"),
        (libc::ENXIO, "the driver knows no such GPU any more", "grep -i xid"),
        (libc::ENODEV, "no driver serves", "nvidia-smi works"),
        (libc::ENOENT, "it went", "--gpus all"),
        (libc::EIO, "in error", "--gpu-reset"),
        (libc::EBUSY, "in use by one process alone", "-c DEFAULT"),
        (libc::ENOSYS, "does not serve it", "--nvproxy"),
        (libc::ENOTTY, "does not serve it", "--nvproxy"),
        (libc::EOPNOTSUPP, "does not serve it", "--nvproxy"),
        (libc::EMFILE, "Too many open files", "nvidia-smi works"),
    ];
    for (errno, why, fix) in cases {
        let finding = judged(Check::GpuAccess, &refused(&WHOLE, errno));
        expect(&finding, Status::Missing, why, fix);
        assert!(finding.detail.starts_with("/dev/nvidia0, /dev/nvidiactl, /dev/nvidia-uvm: "), "{finding:?}");
        let lengths = (finding.detail.len(), finding.fix.as_ref().unwrap().len());
        assert!(lengths.0 <= 130 && lengths.1 <= 130, "{lengths:?} {finding:?}");
    }
}

#[test]
fn different_refusals_stand_side_by_side_and_hide_nothing() {
    let mut seen = devices(&WHOLE);
    seen.nodes[0].open_outcome = OpenOutcome::Failed(Errno(libc::EIO));
    seen.nodes[2].open_outcome = OpenOutcome::Failed(Errno(libc::EPERM));
    let finding = judged(Check::GpuAccess, &seen);
    expect(&finding, Status::Missing, "/dev/nvidia0: the GPU is in error; /dev/nvidia-uvm: the device cgroup", "xid");
    seen.nodes[0].open_outcome = OpenOutcome::TimedOut;
    expect(&judged(Check::GpuAccess, &seen), Status::Missing, "no answer within 10 s; ", "persistenced");
}

#[test]
fn who_did_not_answer_or_was_not_asked_is_unknown() {
    let mut seen = devices(&WHOLE);
    seen.nodes[1].open_outcome = OpenOutcome::TimedOut;
    seen.nodes[2].open_outcome = OpenOutcome::NotAttempted(Errno(libc::ETIMEDOUT));
    expect(
        &judged(Check::GpuAccess, &seen),
        Status::Unknown,
        "/dev/nvidiactl: no answer within 10 s; ",
        "persistenced",
    );
    for (errno, fix) in
        [(libc::EPERM, "--cap-add SETUID"), (libc::EAGAIN, "--pids-limit"), (libc::EIO, "defect of init")]
    {
        seen.nodes.iter_mut().for_each(|node| node.open_outcome = OpenOutcome::NotAttempted(Errno(errno)));
        expect(&judged(Check::GpuAccess, &seen), Status::Unknown, "", fix);
    }
}

#[test]
fn nodes_that_no_computing_needs_may_be_closed() {
    let mut seen = devices(&["nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-modeset", "nvidia-caps/nvidia-cap1"]);
    seen.nodes[3].open_outcome = OpenOutcome::Failed(Errno(libc::EPERM));
    seen.nodes[4].open_outcome = OpenOutcome::Failed(Errno(libc::EACCES));
    expect(&judged(Check::GpuAccess, &seen), Status::Held, "can open", "");
    seen.nodes[4].open_outcome = OpenOutcome::Failed(Errno(libc::EPERM));
    expect(
        &judged(Check::GpuAccess, &seen),
        Status::Missing,
        "/dev/nvidia-caps/nvidia-cap1: the device cgroup",
        "--gpus all",
    );
}

fn with_mode(mode: u32, group: u32) -> Devices {
    let mut seen = refused(&WHOLE, libc::EACCES);
    for node in &mut seen.nodes {
        node.file = node.file.map(|file| File { mode: libc::S_IFCHR | mode, group: GroupId(group), ..file });
    }
    seen
}

#[test]
fn a_closed_mode_says_whose_it_is_and_who_can_be_let_in() {
    let access =
        |devices: &Devices, around: &Around| judge_devices(Check::GpuAccess, Wanted::Auto, Some(devices), around);
    let closed = with_mode(0o600, 44);
    expect(&access(&closed, &ROOTFUL), Status::Missing, "mode 0600, for uid 0 alone", "chmod 666");
    let by_driver = Devices { driver: Driver { mode: Some(0o600), ..closed.driver.clone() }, ..closed };
    expect(&access(&by_driver, &ROOTFUL), Status::Missing, "mode 0600", "NVreg_DeviceFileMode=0666");
    let group = with_mode(0o660, 44);
    expect(&access(&group, &ROOTFUL), Status::Missing, "for group 44, and uid 1000 is not in it", "--group-add 44");
    let root = with_mode(0o660, 0);
    expect(&access(&root, &ROOTFUL), Status::Missing, "group 0, which COMMAND never gets", "chmod 666");
    let namespace = UserNamespace::from_map(b"0 1500 1\n1 100000 65536");
    let rootless = Around { namespace: Some(&namespace), mounts: None };
    expect(&access(&with_mode(0o660, 65_534), &rootless), Status::Missing, "does not map", "chmod 666");
    let nodev = Mounts::parse(
        b"1 0 0:1 / / rw - overlay overlay rw\n2 1 0:2 / /dev rw - tmpfs tmpfs rw\n3 2 0:5 /nvidia0 /dev/nvidia0 rw,nodev - devtmpfs udev rw\n",
    );
    let mounted = Around { namespace: None, mounts: Some(&nodev) };
    let finding = access(&with_mode(0o666, 0), &mounted);
    expect(&finding, Status::Missing, "/dev/nvidia0: it lies on a nodev mount; /dev/nvidiactl", "--device");
}

#[test]
fn no_driver_behind_a_number_is_told_from_another_number_and_from_a_lost_gpu() {
    let mut seen = refused(&WHOLE, libc::ENXIO);
    seen.nodes[2].file = seen.nodes[2].file.map(|file| File { major: 510, ..file });
    let finding = judged(Check::GpuAccess, &seen);
    expect(&finding, Status::Missing, "/dev/nvidia-uvm: it has major 510, the driver has 511", "anew");
    seen.driver.majors = Ok(Majors::parse(b"Character devices:\n 10 misc\n"));
    let finding = judged(Check::GpuAccess, &seen);
    expect(&finding, Status::Missing, "/dev/nvidia0, /dev/nvidiactl: the host has not loaded", "modprobe nvidia,");
    expect(&finding, Status::Missing, "/dev/nvidia-uvm: the host has not loaded", "nvidia-modprobe -u");
    seen.driver.majors = Err(Errno(libc::ENOENT));
    expect(&judged(Check::GpuAccess, &seen), Status::Missing, "not loaded", "modprobe nvidia,");
}

#[test]
fn rootless_and_windows_have_their_own_fixes() {
    let namespace = UserNamespace::from_map(b"0 1500 1\n1 100000 65536");
    let rootless = Around { namespace: Some(&namespace), mounts: None };
    let denied = judge_devices(Check::GpuAccess, Wanted::Auto, Some(&refused(&WHOLE, libc::EPERM)), &rootless);
    expect(&denied, Status::Missing, "a rootless engine sets no device cgroup", "DeviceAllow");
    expect(
        &judged(Check::GpuAccess, &refused(&["dxg"], libc::EPERM)),
        Status::Missing,
        "device cgroup",
        "--device /dev/dxg",
    );
    expect(
        &judged(Check::GpuAccess, &refused(&["dxg"], libc::ENODEV)),
        Status::Missing,
        "WSL serves no GPU",
        "wsl --update",
    );
}

#[test]
fn driver_and_libraries_must_be_of_one_version() {
    let with = |version: &str, path: &str| {
        let mut seen = devices(&WHOLE);
        seen.libraries[0] = library(path, version);
        seen
    };
    let path = "/usr/lib/x86_64-linux-gnu/libcuda.so.1";
    expect(
        &judged(Check::GpuDriver, &with("555.42.06", path)),
        Status::Missing,
        "550.54.14, libcuda.so.1 is 555.42.06",
        "reboot",
    );
    expect(&judged(Check::GpuDriver, &with("535.1", path)), Status::Missing, "libcuda.so.1 is 535.1", "anew");
    let compat = with("555.42.06", "/usr/local/cuda/compat/libcuda.so.1");
    expect(&judged(Check::GpuDriver, &compat), Status::Held, "550.54.14", "");
    let mut management = devices(&WHOLE);
    management.libraries[1] = library("/usr/lib/libnvidia-ml.so.1", "555.42.06");
    expect(&judged(Check::GpuDriver, &management), Status::Missing, "libnvidia-ml.so.1 is 555.42.06", "reboot");
    let none = Devices { libraries: [Library::Missing, Library::Missing], ..devices(&WHOLE) };
    expect(&judged(Check::GpuDriver, &none), Status::Skipped, "nothing to compare", "");
}

#[test]
fn a_driver_that_is_not_loaded_is_told_from_one_that_is_not_shown() {
    let with = |majors: Result<Majors, Errno>| {
        let driver = Driver { majors, version: None, mode: None };
        judged(Check::GpuDriver, &Devices { driver, ..devices(&WHOLE) })
    };
    expect(
        &with(Ok(Majors::parse(b"Character devices:\n 10 misc\n"))),
        Status::Missing,
        "loaded no NVIDIA driver",
        "modprobe",
    );
    expect(&with(Ok(Majors::parse(REGISTERED))), Status::Skipped, "is not shown here", "");
    expect(&with(Err(Errno(libc::ENOENT))), Status::Unknown, "/proc/devices", "mount /proc");
}

#[test]
fn each_way_to_lack_a_library_has_its_fix() {
    let with = |cuda: Library, management: Library, capabilities: Option<&str>| {
        let capabilities = capabilities.map(|text| text.as_bytes().to_vec());
        judged(Check::GpuLibraries, &Devices { libraries: [cuda, management], capabilities, ..devices(&WHOLE) })
    };
    let found = || library("/usr/lib/libnvidia-ml.so.1", "550.54.14");
    expect(&with(Library::Missing, found(), None), Status::Missing, "no libcuda.so.1", "--gpus all");
    for utility in ["utility", "graphics, video"] {
        let finding = with(Library::Missing, found(), Some(utility));
        expect(&finding, Status::Missing, "no libcuda.so.1", &format!("compute,utility (it is \"{utility}\")"));
    }
    for whole in ["all", "compute,utility", "utility, compute", ""] {
        expect(&with(Library::Missing, found(), Some(whole)), Status::Missing, "no libcuda.so.1", "--gpus all");
    }
    expect(
        &with(found(), Library::Missing, Some("compute")),
        Status::Missing,
        "no libnvidia-ml.so.1",
        "compute,utility",
    );
    let unreached = Library::NotSearched(LibraryFile { path: "/usr/lib/wsl/lib/libcuda.so.1".into(), version: None });
    expect(&with(unreached, found(), None), Status::Missing, "does not look there", "LD_LIBRARY_PATH=/usr/lib/wsl/lib");
    let nameless = Library::MissingSoname("/usr/lib64/libcuda.so.550.54.14".into());
    expect(&with(nameless, found(), None), Status::Missing, "no libcuda.so.1 leads to it", "nvidia-container-toolkit");
    let broken = Library::Broken("/usr/lib64/libcuda.so.1".into());
    expect(&with(broken, found(), None), Status::Missing, "/usr/lib64/libcuda.so.1 is no library", "image");
}

#[test]
fn the_probe_knows_a_daemon_reload() {
    let now = |opened| [("/dev/nvidia0".to_string(), opened), ("/dev/nvidiactl".to_string(), opened)];
    let judged = |opened| still_open(&now(opened), None);
    let no = |errno| OpenOutcome::Failed(Errno(errno));
    expect(&judged(OpenOutcome::Opened), Status::Held, "2 device node(s) can still be opened", "");
    let finding = judged(no(libc::EPERM));
    expect(&finding, Status::Missing, "daemon-reload", "create-dev-char-symlinks");
    assert!(
        finding.detail.starts_with("/dev/nvidia0, /dev/nvidiactl: ") && finding.id == Check::GpuAccess,
        "{finding:?}"
    );
    let namespace = UserNamespace::from_map(b"0 1500 1");
    expect(&still_open(&now(no(libc::EPERM)), Some(&namespace)), Status::Missing, "denied now", "mode or its rules");
    expect(&judged(no(libc::EACCES)), Status::Missing, "denied now", "mode or its rules");
    expect(&judged(no(libc::ENOENT)), Status::Missing, "gone now", "--gpus all");
    expect(&judged(no(libc::ENXIO)), Status::Missing, "served by no driver now", "xid");
    expect(&judged(no(libc::EIO)), Status::Missing, "Input/output error", "--gpu-reset");
    expect(&judged(OpenOutcome::TimedOut), Status::Unknown, "no answer in time", "nvidia-smi");
    expect(&judged(OpenOutcome::NotAttempted(Errno(libc::EAGAIN))), Status::Unknown, "no process", "--pids-limit");
}
