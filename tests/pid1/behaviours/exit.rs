//! X: how it ends, and what it says when COMMAND cannot be executed.

use super::leftovers::LONG;
use super::support::{Exit, PROBE, Program, ProgramEnd, Scratch, Start, Stdio, check, check_init, eventually};
use super::traced::TracedInit;
use takumi_test::level::{Level, level};
use takumi_test::require;
use takumi_test::signal::number;

#[test]
fn x01_child_exit_0() {
    check("X01", |program| {
        Start::new(program).probe("exit:0").run().expect(0);
    });
}

#[test]
fn x02_every_exit_code_below_128() {
    every_exit_code(0..128);
}

#[test]
fn x02_every_exit_code_from_128() {
    every_exit_code(128..256);
}

fn every_exit_code(codes: std::ops::Range<i32>) {
    check("X02", |program| {
        // So many namespaces take their time: of the controls a sample, and in a quick run of `init` too.
        let of_a_sample = program != Program::Init || level() == Level::Quick;
        for code in codes.clone().step_by(if of_a_sample { 15 } else { 1 }) {
            Start::new(program).probe(&format!("exit:{code}")).run().expect(code);
        }
    });
}

#[test]
fn x03_death_by_signal_is_128_and_its_number() {
    check("X03", |program| {
        for signal in ["HUP", "INT", "QUIT", "ILL", "ABRT", "FPE", "KILL", "SEGV", "PIPE", "TERM", "XCPU", "SYS"] {
            Start::new(program).probe(&format!("die:{signal}")).run().expect(128 + number(signal));
        }
    });
}

#[test]
fn x04_death_by_real_time_signal_is_128_and_its_number() {
    check("X04", |program| {
        for signal in [34, 35, 50, 63, 64] {
            Start::new(program).probe(&format!("die:{signal}")).run().expect(128 + signal);
        }
    });
}

#[test]
fn x05_program_not_found_is_127() {
    check("X05", |program| {
        Start::new(program).command(["no-such-program"]).run().expect(127);
        Start::new(program).command(["/usr/bin/no-such-program"]).run().expect(127);
    });
}

#[test]
fn x06_program_not_executable_is_126() {
    check("X06", |program| {
        let scratch = Scratch::new();
        let file = scratch.file("script", 0o644, "#!/bin/sh\nexit 0\n");
        Start::new(program).command([file]).run().expect(126);
    });
}

#[test]
fn x07_program_is_a_directory_is_126() {
    check("X07", |program| {
        Start::new(program).command(["/usr"]).run().expect(126);
    });
}

#[test]
fn x08_path_component_not_a_directory_is_126_or_127() {
    check("X08", |program| expect_one_of(&Start::new(program).command(["/etc/passwd/program"]).run(), &[126, 127]));
}

#[test]
fn x09_missing_interpreter_is_126_or_127() {
    check("X09", |program| {
        let scratch = Scratch::new();
        let file = scratch.file("script", 0o755, "#!/no/such/interpreter\n");
        expect_one_of(&Start::new(program).command([file]).run(), &[126, 127]);
    });
}

#[test]
fn x10_text_without_interpreter_runs_under_sh_or_is_126() {
    check("X10", |program| {
        let scratch = Scratch::new();
        let file = scratch.file("script", 0o755, "exit 42\n");
        expect_one_of(&Start::new(program).command([file]).run(), &[126, 42]);
    });
}

#[test]
fn x11_corrupt_elf_is_126() {
    check("X11", |program| {
        let scratch = Scratch::new();
        let file = scratch.file("program", 0o755, b"\x7fELF\x02\x01\x01 and no further");
        Start::new(program).command([file]).run().expect(126);
    });
}

#[test]
fn x12_exec_failure_names_program_and_reason() {
    check("X12", |program| {
        let ended = Start::new(program).command(["/usr/bin/no-such-program"]).run();
        assert!(ended.stderr.contains("/usr/bin/no-such-program"), "{ended:?}");
        assert!(ended.stderr.contains("No such file or directory"), "{ended:?}");
    });
}

#[test]
fn x13_exec_failure_is_quiet_on_stdout() {
    check("X13", |program| {
        for file in ["no-such-program", "/usr", "/etc/passwd"] {
            let ended = Start::new(program).command([file]).run();
            assert_eq!(ended.stdout, "", "{ended:?}");
        }
    });
}

#[test]
fn x14_no_program_shows_usage_on_stderr() {
    check("X14", |program| {
        let ended = Start::new(program).run();
        if program == Program::Init {
            ended.expect(125).expect_one_line();
        }
        assert!(
            ended.failed() && ended.stderr.to_lowercase().contains("usage") && ended.stdout.is_empty(),
            "{ended:?}"
        );
    });
}

#[test]
fn x15_unknown_option_is_refused() {
    check("X15", |program| {
        for option in ["--yolo", "-z", "-"] {
            // A lone dash is no option but a program that is not found.
            let ended = Start::new(program).argument(option).separator(false).probe("say:ran").run();
            assert!(ended.failed() && !ended.stdout.contains("ran"), "{option}: {ended:?}");
            if program == Program::Init && option != "-" {
                ended.expect(125).expect_one_line();
                assert!(ended.stderr.contains(option), "{ended:?}");
            }
        }
    });
}

#[test]
fn x16_separator_protects_the_programs_options() {
    check("X16", |program| {
        let mut running = Start::new(program).separator(true).probe("state -v --version -h").spawn();
        assert_eq!(running.state().arguments()[1..], [&b"state"[..], b"-v", b"--version", b"-h"]);
        running.wait().expect(0);
        // Beyond the separator nothing is an option: this is a program that is not there.
        let ended = Start::new(program).separator(true).command(["--version"]).run();
        assert!(ended.failed() && ended.stdout.is_empty(), "{ended:?}");
    });
}

#[test]
fn x17_options_after_the_program_are_its_own() {
    check("X17", |program| {
        let mut running = Start::new(program).separator(false).probe("state -v --version -h").spawn();
        assert_eq!(running.state().arguments()[1..], [&b"state"[..], b"-v", b"--version", b"-h"]);
        running.wait().expect(0);
    });
}

#[test]
fn x18_exit_code_remap() {
    check("X18", |program| {
        for (code, reported) in [(0, 0), (3, 0), (255, 0), (4, 4), (143, 143)] {
            Start::new(program).exit_ok("3,255").probe(&format!("exit:{code}")).run().expect(reported);
        }
    });
}

#[test]
fn x19_remap_covers_death_by_signal() {
    check("X19", |program| {
        let running = Start::new(program).exit_ok("143").probe("ready pause").spawn().ready();
        running.signal("TERM");
        running.wait().expect(0);
        Start::new(program).exit_ok("143").probe("die:INT").run().expect(130);
    });
}

#[test]
fn x20_bad_remap_is_refused() {
    check("X20", |program| {
        for codes in ["256", "-1", "abc", "1x", "0x8f", "99999999999999999999", "3,,4"] {
            let ended = Start::new(program).exit_ok(codes).probe("say:ran").run();
            assert!(ended.failed() && ended.stdout.is_empty(), "{codes}: {ended:?}");
        }
    });
}

#[test]
fn x21_follows_the_child_out_at_once() {
    require!(strace);
    check("X21", |program| {
        let mut traced = TracedInit::start(program, "true");
        assert_eq!(traced.running.exit(), 0);
        assert_eq!(traced.sleeps_after_command(), [""; 0]);
    });
}

#[test]
fn x22_does_not_wait_for_surviving_orphans() {
    check("X22", |program| {
        let start = Start::new(program).probe("orphan { pause } fork { pause } exit:5");
        // They end at the first SIGTERM.
        start.setting("TAKUMI_LEFTOVER_GRACE", LONG).run().expect(5);
    });
}

#[test]
fn x23_200_children_that_exit_at_once() {
    check("X23", |program| {
        Start::new(program).probe("times:200 { orphan { exit:1 } fork { exit:2 } } exit:7").run().expect(7);
    });
}

#[test]
fn ignored_sigchld_at_start_loses_no_exit_code() {
    // With SIGCHLD ignored the kernel reaps by itself and no status is left to wait for.
    check_init(|program| {
        Start::new(program).ignored(&["CHLD"]).probe("exit:7").run().expect(7);
        Start::new(program).ignored(&["CHLD"]).probe("orphan { exit:1 } die:TERM").run().expect(143);
    });
}

#[test]
fn blocked_sigchld_at_start_does_not_hang() {
    check_init(|program| {
        Start::new(program).blocked(&["CHLD"]).probe("exit:7").run().expect(7);
    });
}

#[test]
fn stopping_child_does_not_end_it() {
    check_init(|program| {
        let mut running = Start::new(program).probe("ready line exit:3").stdin(Stdio::Pipe).spawn().ready();
        running.child().signal(number("STOP"));
        eventually("a stopped child", || (running.child().state() == Some('T')).then_some(()));
        running.child().signal(number("CONT"));
        running.stdin.take();
        running.wait().expect(3);
    });
}

#[test]
fn thousands_of_arguments() {
    check("many-arguments", |program| {
        let many: Vec<String> = (0..5000).map(|number| format!("-argument-{number}")).collect();
        let mut running = Start::new(program).separator(true).command([PROBE, "state"]).command(&many).spawn();
        let arguments = running.state().arguments();
        assert_eq!(arguments.len(), 5002);
        assert_eq!(arguments[5001], b"-argument-4999");
        running.wait().expect(0);
    });
}

#[test]
fn argument_list_that_only_just_reaches_init_is_126() {
    // The kernel counts the path of the program with its arguments. What just fits beside the path of `init` does not fit
    // beside a COMMAND found in a directory with a very long name.
    check_init(|program| {
        let scratch = Scratch::new();
        let long = (0..12).fold(scratch.path(""), |path, _| format!("{path}{}/", "d".repeat(200)));
        std::fs::create_dir_all(&long).unwrap();
        std::os::unix::fs::symlink(PROBE, format!("{long}command")).unwrap();
        let start = |size: usize| {
            let filler: Vec<String> = (0..size / 10_000).map(|_| "-".repeat(10_000)).collect();
            let rest = "-".repeat(size % 10_000 + 1);
            let start = Start::new(program).limit(libc::RLIMIT_STACK, 1 << 20, 1 << 20).env("PATH", &long);
            start.command(["command", "say:ran"]).command(filler).command([rest]).try_spawn()
        };
        // A quarter of the stack's limit is what arguments may take.
        let (mut fits, mut too_big) = (100_000, 300_000);
        while too_big - fits > 256 {
            let middle = (fits + too_big) / 2;
            if start(middle).is_ok() { fits = middle } else { too_big = middle }
        }
        let ended = start(fits).unwrap().wait();
        ended.expect(126).expect_one_line();
        assert!(ended.stderr.contains("Argument list too long") && ended.stdout.is_empty(), "{ended:?}");
        start(fits / 2).unwrap().wait().expect(0);
    });
}

fn expect_one_of(ended: &ProgramEnd, codes: &[i32]) {
    assert!(codes.iter().any(|code| ended.exit == Exit::Code(*code)), "not one of {codes:?}: {ended:?}");
}
