//! Calls that COMMAND never needs, under an engine that filters nothing.

use super::tried::{open, tried};
use libc::*;
use takumi_test::image::Image;
use takumi_test::require;

/// Wholly refused.
const REFUSED: [c_long; 45] = [
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_pidfd_getfd, SYS_bpf, SYS_userfaultfd,
    SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_add_key, SYS_request_key, SYS_keyctl, SYS_mount,
    SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsconfig, SYS_fsmount,
    SYS_fspick, SYS_mount_setattr, 467, SYS_unshare, SYS_setns, SYS_clone, SYS_kexec_load, SYS_kexec_file_load,
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_perf_event_open, SYS_open_by_handle_at, SYS_syslog,
    SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct, SYS_quotactl, SYS_settimeofday, SYS_clock_settime, SYS_iopl,
    SYS_ioperm,
];
/// The kernel itself looks at capabilities, or at a sysctl, before anything else: the two answers cannot be told apart from here.
/// `confine::seccomp` runs the filter on them.
const PRIVILEGED: [c_long; 20] = [
    SYS_bpf, SYS_userfaultfd, SYS_pivot_root, SYS_move_mount, SYS_fsopen, SYS_fsmount, SYS_fspick, SYS_kexec_load,
    SYS_kexec_file_load, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_open_by_handle_at, SYS_syslog,
    SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct, SYS_settimeofday, SYS_clock_settime,
];

#[test]
fn each_call_of_the_table_is_refused_by_the_lock_alone() {
    require!(demo);
    let image = Image::demo();
    let numbers: Vec<String> = REFUSED.iter().chain(&[SYS_clone3]).map(ToString::to_string).collect();
    let words: Vec<&str> = std::iter::once("calls").chain(numbers.iter().map(String::as_str)).collect();
    let (off, auto) = (tried(open(&image, "off"), &words), tried(open(&image, "auto"), &words));
    for call in REFUSED {
        assert_eq!(auto[&call.to_string()], EPERM, "call {call}");
        let told_apart = off[&call.to_string()] != EPERM;
        assert!(told_apart || PRIVILEGED.contains(&call), "control: call {call} is refused without the lock");
    }
    assert_eq!(auto[&SYS_clone3.to_string()], ENOSYS);
    assert_ne!(off[&SYS_clone3.to_string()], ENOSYS, "control");
}

#[test]
fn other_instruction_sets_have_no_calls() {
    require!(demo);
    let image = Image::demo();
    let auto = tried(open(&image, "auto"), &["i386"]);
    assert_eq!((auto["i386"], auto["x32"]), (ENOSYS, ENOSYS));
    let off = tried(open(&image, "off"), &["i386"]);
    // -SIGSEGV: this kernel has no calls of 32-bit programs either.
    assert!([0, -11].contains(&off["i386"]), "control: {off:?}");
}

#[test]
fn the_first_process_is_out_of_reach() {
    require!(landlock, demo);
    let image = Image::demo();
    let off = tried(open(&image, "off"), &["first"]);
    assert!(off.values().all(|errno| *errno == 0), "control: the same user may: {off:?}");
    for confine in ["auto", "strict"] {
        for (attempt, errno) in tried(open(&image, confine), &["first"]) {
            let own = attempt.starts_with("own ");
            assert_eq!(errno, if own { 0 } else { EPERM }, "{confine}: {attempt}");
        }
    }
}
