//! Fixtures made from documentation: no host with a GPU was at hand. tests/shields/gpu makes what can be made without
//! one.

use super::*;
use crate::machine::devices::OpenOutcome;
use crate::machine::devices::driver::{Driver, Majors};
use crate::machine::devices::libraries::LibraryFile;
use crate::posture::engines::hardened;
use crate::posture::finding::CheckStatus::{self, Fail, Pass, Skipped, Unknown};
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
const ROOTFUL: GpuContext = GpuContext { namespace: None, mounts: None };

fn evaluate_devices(check: Check, gpu: CheckMode, devices: Option<&Devices>, context: &GpuContext) -> Finding {
    let unseen = Errno(libc::ENOENT);
    let machine = Machine {
        devices: devices.cloned(),
        user_namespace: context.namespace.cloned().ok_or(unseen),
        mounts: context.mounts.cloned().ok_or(unseen),
        ..hardened()
    };
    super::super::evaluate_check(check, &Settings { gpu, ..Settings::default() }, &machine).unwrap()
}

fn evaluate(check: Check, devices: &Devices) -> Finding {
    evaluate_devices(check, CheckMode::Auto, Some(devices), &ROOTFUL)
}

#[track_caller]
fn expect(finding: &Finding, status: CheckStatus, detail: &str, fix: &str) {
    assert_eq!(finding.status, status, "{finding:?}");
    assert!(finding.detail.contains(detail), "expected '{detail}': {finding:?}");
    let seen = finding.fix.as_deref().unwrap_or_default();
    assert!(seen.contains(fix) && fix.is_empty() == seen.is_empty(), "expected '{fix}': {finding:?}");
}

#[test]
fn off_and_nothing_given_are_skipped() {
    let none = devices(&[]);
    for &id in Shield::Gpu.checks() {
        expect(&evaluate_devices(id, CheckMode::Off, None, &ROOTFUL), Skipped, "TAKUMI_GPU=off", "");
        expect(&evaluate(id, &none), Skipped, "started without a GPU", "");
        for nothing in ["", "void", "none"] {
            let visible = Some(nothing.as_bytes().to_vec());
            expect(&evaluate(id, &Devices { visible, ..none.clone() }), Skipped, "started without a GPU", "");
        }
    }
}

#[test]
fn a_gpu_that_was_asked_for_and_is_not_there_is_missing() {
    let none = Devices { visible: Some(b"all".to_vec()), ..devices(&[]) };
    expect(&evaluate(Check::GpuNodes, &none), Fail, "NVIDIA_VISIBLE_DEVICES asks for \"all\"", "--gpus all");
    expect(&evaluate(Check::GpuAccess, &none), Skipped, "no GPU device node", "");
    let required = evaluate_devices(Check::GpuNodes, CheckMode::Require, Some(&devices(&[])), &ROOTFUL);
    expect(&required, Fail, "no GPU in /dev", "--gpus all");
    let namespace = UserNamespace::from_map(b"0 1500 1\n1 100000 65536");
    let rootless = GpuContext { namespace: Some(&namespace), mounts: None };
    let required = evaluate_devices(Check::GpuNodes, CheckMode::Require, Some(&devices(&[])), &rootless);
    expect(&required, Fail, "no GPU in /dev", "no-cgroups");
    let windows = Devices { is_wsl: true, ..none };
    expect(&evaluate(Check::GpuNodes, &windows), Fail, "no GPU in /dev", "wsl --update");
}

#[test]
fn a_whole_gpu_holds_everything() {
    let whole = devices(&["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"]);
    expect(&evaluate(Check::GpuNodes, &whole), Pass, "2 NVIDIA GPU(s)", "");
    expect(&evaluate(Check::GpuAccess, &whole), Pass, "uid 1000 can open /dev/nvidia0, /dev/nvidia1", "");
    expect(&evaluate(Check::GpuDriver, &whole), Pass, "550.54.14", "");
    expect(&evaluate(Check::GpuLibraries, &whole), Pass, "libcuda.so.1", "");
}

#[test]
fn each_node_that_cuda_needs_is_named_where_it_is_missing() {
    let nodes = |names: &[&str]| evaluate(Check::GpuNodes, &devices(names));
    expect(&nodes(&["nvidia0", "nvidiactl"]), Fail, "no /dev/nvidia-uvm", "nvidia-modprobe -u -c=0");
    expect(&nodes(&["nvidia0", "nvidia-uvm"]), Fail, "no /dev/nvidiactl", "--device /dev/nvidiactl");
    expect(&nodes(&["nvidiactl", "nvidia-uvm"]), Fail, "no /dev/nvidia0", "--device /dev/nvidia0");
    expect(&nodes(&["nvidia0"]), Fail, "no /dev/nvidiactl, no /dev/nvidia-uvm", "--gpus all");
}

#[test]
fn gpus_of_other_makers_have_other_nodes() {
    let nodes = |names: &[&str], makers: Vec<u32>| {
        evaluate(Check::GpuNodes, &Devices { pci_vendors: makers, ..devices(names) })
    };
    expect(&nodes(&["dxg"], vec![]), Pass, "/dev/dxg", "");
    expect(&nodes(&["kfd", "dri/renderD128"], vec![AMD_VENDOR_ID]), Pass, "/dev/kfd", "");
    expect(&nodes(&["kfd"], vec![]), Fail, "/dev/dri/renderD", "--device /dev/dri");
    expect(&nodes(&["dri/renderD128"], vec![AMD_VENDOR_ID]), Fail, "without /dev/kfd", "--device /dev/kfd");
    expect(&nodes(&["dri/renderD128"], vec![0x8086]), Pass, "1 render node", "");
    expect(&nodes(&["nvmap", "nvhost-gpu", "nvidia0"], vec![]), Pass, "Jetson", "");
    expect(&nodes(&["nvhost-gpu"], vec![]), Fail, "/dev/nvmap", "--runtime nvidia");
    expect(&nodes(&["nvmap"], vec![]), Fail, "some are missing", "--runtime nvidia");
    for names in [&["dxg"][..], &["kfd", "dri/renderD128"], &["nvmap", "nvhost-gpu"]] {
        expect(&evaluate(Check::GpuDriver, &devices(names)), Skipped, "nothing to compare", "");
    }
    expect(&evaluate(Check::GpuLibraries, &devices(&["kfd", "dri/renderD128"])), Skipped, "PyTorch", "");
    expect(&evaluate(Check::GpuLibraries, &devices(&["dxg"])), Pass, "libcuda.so.1", "");
}

#[test]
fn what_only_has_the_name_or_another_boots_number_is_no_node() {
    let mut seen = devices(&WHOLE);
    seen.nodes[2].file = seen.nodes[2].file.map(|file| File { major: 510, ..file });
    expect(
        &evaluate(Check::GpuNodes, &seen),
        Fail,
        "/dev/nvidia-uvm has major 510, but the host's driver has 511",
        "recreate",
    );
    seen.nodes[0].file = seen.nodes[0].file.map(|file| File { mode: libc::S_IFDIR | 0o755, ..file });
    expect(&evaluate(Check::GpuNodes, &seen), Fail, "/dev/nvidia0 is not a device", "not with -v");
    seen.nodes[0].file = Err(Errno(libc::ENOENT));
    expect(&evaluate(Check::GpuNodes, &seen), Fail, "/dev/nvidia0 is not a device", "not with -v");
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
        (libc::EACCES, "a security module denies it", "container_use_devices"),
        (libc::ENXIO, "the driver no longer knows this GPU", "grep -i xid"),
        (libc::ENODEV, "no driver handles", "nvidia-smi works"),
        (libc::ENOENT, "it disappeared", "--gpus all"),
        (libc::EIO, "reports an error", "--gpu-reset"),
        (libc::EBUSY, "exclusive use of the GPU", "-c DEFAULT"),
        (libc::ENOSYS, "does not support it", "--nvproxy"),
        (libc::ENOTTY, "does not support it", "--nvproxy"),
        (libc::EOPNOTSUPP, "does not support it", "--nvproxy"),
        (libc::EMFILE, "Too many open files", "nvidia-smi works"),
    ];
    for (errno, why, fix) in cases {
        let finding = evaluate(Check::GpuAccess, &refused(&WHOLE, errno));
        expect(&finding, Fail, why, fix);
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
    let finding = evaluate(Check::GpuAccess, &seen);
    expect(&finding, Fail, "/dev/nvidia0: the GPU reports an error; /dev/nvidia-uvm: the device cgroup", "xid");
    seen.nodes[0].open_outcome = OpenOutcome::TimedOut;
    expect(&evaluate(Check::GpuAccess, &seen), Fail, "no answer within 10 s; ", "persistenced");
}

#[test]
fn who_did_not_answer_or_was_not_asked_is_unknown() {
    let mut seen = devices(&WHOLE);
    seen.nodes[1].open_outcome = OpenOutcome::TimedOut;
    seen.nodes[2].open_outcome = OpenOutcome::NotAttempted(Errno(libc::ETIMEDOUT));
    expect(&evaluate(Check::GpuAccess, &seen), Unknown, "/dev/nvidiactl: no answer within 10 s; ", "persistenced");
    for (errno, fix) in
        [(libc::EPERM, "--cap-add SETUID"), (libc::EAGAIN, "--pids-limit"), (libc::EIO, "report this bug in init")]
    {
        seen.nodes.iter_mut().for_each(|node| node.open_outcome = OpenOutcome::NotAttempted(Errno(errno)));
        expect(&evaluate(Check::GpuAccess, &seen), Unknown, "", fix);
    }
}

#[test]
fn nodes_that_no_computing_needs_may_be_closed() {
    let mut seen = devices(&["nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-modeset", "nvidia-caps/nvidia-cap1"]);
    seen.nodes[3].open_outcome = OpenOutcome::Failed(Errno(libc::EPERM));
    seen.nodes[4].open_outcome = OpenOutcome::Failed(Errno(libc::EACCES));
    expect(&evaluate(Check::GpuAccess, &seen), Pass, "can open", "");
    seen.nodes[4].open_outcome = OpenOutcome::Failed(Errno(libc::EPERM));
    expect(&evaluate(Check::GpuAccess, &seen), Fail, "/dev/nvidia-caps/nvidia-cap1: the device cgroup", "--gpus all");
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
    let access = |devices: &Devices, context: &GpuContext| {
        evaluate_devices(Check::GpuAccess, CheckMode::Auto, Some(devices), context)
    };
    let closed = with_mode(0o600, 44);
    expect(&access(&closed, &ROOTFUL), Fail, "mode 0600, only for uid 0", "chmod 666");
    let by_driver = Devices { driver: Driver { mode: Some(0o600), ..closed.driver.clone() }, ..closed };
    expect(&access(&by_driver, &ROOTFUL), Fail, "mode 0600", "NVreg_DeviceFileMode=0666");
    let group = with_mode(0o660, 44);
    expect(&access(&group, &ROOTFUL), Fail, "for group 44, but uid 1000 is not in it", "--group-add 44");
    let root = with_mode(0o660, 0);
    expect(&access(&root, &ROOTFUL), Fail, "group 0, which COMMAND never gets", "chmod 666");
    let namespace = UserNamespace::from_map(b"0 1500 1\n1 100000 65536");
    let rootless = GpuContext { namespace: Some(&namespace), mounts: None };
    expect(&access(&with_mode(0o660, 65_534), &rootless), Fail, "does not map", "chmod 666");
    let nodev = Mounts::parse(
        b"1 0 0:1 / / rw - overlay overlay rw\n2 1 0:2 / /dev rw - tmpfs tmpfs rw\n3 2 0:5 /nvidia0 /dev/nvidia0 rw,nodev - devtmpfs udev rw\n",
    );
    let mounted = GpuContext { namespace: None, mounts: Some(&nodev) };
    let finding = access(&with_mode(0o666, 0), &mounted);
    expect(&finding, Fail, "/dev/nvidia0: it is on a nodev mount; /dev/nvidiactl", "--device");
}

#[test]
fn no_driver_behind_a_number_is_told_from_another_number_and_from_a_lost_gpu() {
    let mut seen = refused(&WHOLE, libc::ENXIO);
    seen.nodes[2].file = seen.nodes[2].file.map(|file| File { major: 510, ..file });
    let finding = evaluate(Check::GpuAccess, &seen);
    expect(&finding, Fail, "/dev/nvidia-uvm: it has major 510, but the driver has 511", "recreate");
    seen.driver.majors = Ok(Majors::parse(b"Character devices:\n 10 misc\n"));
    let finding = evaluate(Check::GpuAccess, &seen);
    expect(&finding, Fail, "/dev/nvidia0, /dev/nvidiactl: the host has not loaded", "modprobe nvidia,");
    expect(&finding, Fail, "/dev/nvidia-uvm: the host has not loaded", "nvidia-modprobe -u");
    seen.driver.majors = Err(Errno(libc::ENOENT));
    expect(&evaluate(Check::GpuAccess, &seen), Fail, "not loaded", "modprobe nvidia,");
}

#[test]
fn rootless_and_windows_have_their_own_fixes() {
    let namespace = UserNamespace::from_map(b"0 1500 1\n1 100000 65536");
    let rootless = GpuContext { namespace: Some(&namespace), mounts: None };
    let denied = evaluate_devices(Check::GpuAccess, CheckMode::Auto, Some(&refused(&WHOLE, libc::EPERM)), &rootless);
    expect(&denied, Fail, "a rootless engine has no device cgroup", "DeviceAllow");
    expect(&evaluate(Check::GpuAccess, &refused(&["dxg"], libc::EPERM)), Fail, "device cgroup", "--device /dev/dxg");
    expect(&evaluate(Check::GpuAccess, &refused(&["dxg"], libc::ENODEV)), Fail, "WSL provides no GPU", "wsl --update");
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
        &evaluate(Check::GpuDriver, &with("555.42.06", path)),
        Fail,
        "550.54.14, libcuda.so.1 is 555.42.06",
        "reboot",
    );
    expect(&evaluate(Check::GpuDriver, &with("535.1", path)), Fail, "libcuda.so.1 is 535.1", "recreate");
    let compat = with("555.42.06", "/usr/local/cuda/compat/libcuda.so.1");
    expect(&evaluate(Check::GpuDriver, &compat), Pass, "550.54.14", "");
    let mut management = devices(&WHOLE);
    management.libraries[1] = library("/usr/lib/libnvidia-ml.so.1", "555.42.06");
    expect(&evaluate(Check::GpuDriver, &management), Fail, "libnvidia-ml.so.1 is 555.42.06", "reboot");
    let none = Devices { libraries: [Library::Missing, Library::Missing], ..devices(&WHOLE) };
    expect(&evaluate(Check::GpuDriver, &none), Skipped, "nothing to compare", "");
}

#[test]
fn a_driver_that_is_not_loaded_is_told_from_one_that_is_not_shown() {
    let with = |majors: Result<Majors, Errno>| {
        let driver = Driver { majors, version: None, mode: None };
        evaluate(Check::GpuDriver, &Devices { driver, ..devices(&WHOLE) })
    };
    expect(
        &with(Ok(Majors::parse(b"Character devices:\n 10 misc\n"))),
        Fail,
        "not loaded the NVIDIA driver",
        "modprobe",
    );
    expect(&with(Ok(Majors::parse(REGISTERED))), Skipped, "is not visible here", "");
    expect(&with(Err(Errno(libc::ENOENT))), Unknown, "/proc/devices", "mount /proc");
}

#[test]
fn each_way_to_lack_a_library_has_its_fix() {
    let with = |cuda: Library, management: Library, capabilities: Option<&str>| {
        let capabilities = capabilities.map(|text| text.as_bytes().to_vec());
        evaluate(Check::GpuLibraries, &Devices { libraries: [cuda, management], capabilities, ..devices(&WHOLE) })
    };
    let found = || library("/usr/lib/libnvidia-ml.so.1", "550.54.14");
    expect(&with(Library::Missing, found(), None), Fail, "no libcuda.so.1", "--gpus all");
    for utility in ["utility", "graphics, video"] {
        let finding = with(Library::Missing, found(), Some(utility));
        expect(&finding, Fail, "no libcuda.so.1", &format!("compute,utility (it is \"{utility}\")"));
    }
    for whole in ["all", "compute,utility", "utility, compute", ""] {
        expect(&with(Library::Missing, found(), Some(whole)), Fail, "no libcuda.so.1", "--gpus all");
    }
    expect(&with(found(), Library::Missing, Some("compute")), Fail, "no libnvidia-ml.so.1", "compute,utility");
    let unreached = Library::NotSearched(LibraryFile { path: "/usr/lib/wsl/lib/libcuda.so.1".into(), version: None });
    let unreached = with(unreached, found(), None);
    expect(&unreached, Fail, "does not search that directory", "LD_LIBRARY_PATH=/usr/lib/wsl/lib");
    let nameless = Library::MissingSoname("/usr/lib64/libcuda.so.550.54.14".into());
    expect(&with(nameless, found(), None), Fail, "no libcuda.so.1 points to it", "nvidia-container-toolkit");
    let broken = Library::Broken("/usr/lib64/libcuda.so.1".into());
    expect(&with(broken, found(), None), Fail, "/usr/lib64/libcuda.so.1 is not a library", "image");
}

#[test]
fn the_probe_knows_a_daemon_reload() {
    let now = |opened| [("/dev/nvidia0".to_string(), opened), ("/dev/nvidiactl".to_string(), opened)];
    let judged = |opened| verify_still_open(&now(opened), None);
    let no = |errno| OpenOutcome::Failed(Errno(errno));
    expect(&judged(OpenOutcome::Opened), Pass, "2 device node(s) can still be opened", "");
    let finding = judged(no(libc::EPERM));
    expect(&finding, Fail, "daemon-reload", "create-dev-char-symlinks");
    assert!(
        finding.detail.starts_with("/dev/nvidia0, /dev/nvidiactl: ") && finding.id == Check::GpuAccess,
        "{finding:?}"
    );
    let namespace = UserNamespace::from_map(b"0 1500 1");
    let denied = verify_still_open(&now(no(libc::EPERM)), Some(&namespace));
    expect(&denied, Fail, "denied now", "mode or the device rules");
    expect(&judged(no(libc::EACCES)), Fail, "denied now", "mode or the device rules");
    expect(&judged(no(libc::ENOENT)), Fail, "gone now", "--gpus all");
    expect(&judged(no(libc::ENXIO)), Fail, "no driver handles it now", "xid");
    expect(&judged(no(libc::EIO)), Fail, "Input/output error", "--gpu-reset");
    expect(&judged(OpenOutcome::TimedOut), Unknown, "no answer in time", "nvidia-smi");
    expect(&judged(OpenOutcome::NotAttempted(Errno(libc::EAGAIN))), Unknown, "cannot fork", "--pids-limit");
}
