//! The rules of a container's devices, changed behind the engine's back.

use std::os::fd::AsRawFd;
use std::path::Path;

/// Takes a device of the memory driver (1:7 is /dev/full, 1:9 /dev/urandom) away from the container of this process of the host.
pub fn deny(process: &str, minor: u8) {
    let groups = std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
    let of = |controller: &str| {
        let mut groups = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        groups.find(|(controllers, _)| *controllers == controller).unwrap_or_else(|| panic!("{groups:?}")).1
    };
    if Path::new("/sys/fs/cgroup/devices/devices.deny").exists() {
        std::fs::write(format!("/sys/fs/cgroup/devices{}/devices.deny", of("devices")), format!("c 1:{minor} rwm"))
            .unwrap();
    } else {
        attach_denial(Path::new(&format!("/sys/fs/cgroup{}", of(""))), minor.into());
    }
}

/// Version 2 of cgroups has no file for it: a program is asked, and whatever else is attached has to agree.
fn attach_denial(group: &Path, denied: u64) {
    // As linux/bpf.h has them: code, registers, how far to jump, number.
    let instruction =
        |code: u64, registers: u64, jump: u64, number: u64| code | registers << 8 | jump << 16 | number << 32;
    let program = [
        instruction(0x61, 0x12, 4, 0),      // r2 = major
        instruction(0x55, 0x02, 4, 1),      // where it is not 1, to the last two
        instruction(0x61, 0x12, 8, 0),      // r2 = minor
        instruction(0x55, 0x02, 2, denied), // where it is another, to the last two
        instruction(0xb7, 0x00, 0, 0),      // no
        instruction(0x95, 0x00, 0, 0),
        instruction(0xb7, 0x00, 0, 1), // yes
        instruction(0x95, 0x00, 0, 0),
    ];
    let group = std::fs::File::open(group).unwrap();
    // BPF_PROG_LOAD of a BPF_PROG_TYPE_CGROUP_DEVICE of eight instructions.
    let load = [15 | 8 << 32, program.as_ptr() as u64, c"GPL".as_ptr() as u64];
    // SAFETY: the kernel reads 24 bytes, and what the two pointers in them point to, which outlives the call.
    let denial = unsafe { libc::syscall(libc::SYS_bpf, 5, load.as_ptr(), size_of_val(&load)) } as i32;
    assert!(denial >= 0, "{}", std::io::Error::last_os_error());
    // BPF_PROG_ATTACH at BPF_CGROUP_DEVICE, with BPF_F_ALLOW_MULTI.
    let attach = [group.as_raw_fd(), denial, 6, 2];
    // SAFETY: the kernel reads 16 bytes.
    let attached = unsafe { libc::syscall(libc::SYS_bpf, 8, attach.as_ptr(), size_of_val(&attach)) };
    assert_eq!(attached, 0, "{}", std::io::Error::last_os_error());
}
