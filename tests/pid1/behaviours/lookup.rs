//! How COMMAND is found. The controls show that this is what execvp does; their exit codes on failure are their own.

use super::support::{Program, Scratch, Start, check, check_init};

/// Exits with `code`; with a mode that forbids it, is not executable by anybody.
fn script(scratch: &Scratch, name: &str, code: i32, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let directory = std::path::PathBuf::from(scratch.path(name)).parent().unwrap().to_owned();
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).unwrap();
    scratch.file(name, mode, format!("#!/bin/sh\nexit {code}\n"));
}

fn start(program: Program, scratch: &Scratch, path: &str, command: &str) -> Start {
    let path = path.replace('@', scratch.path("").trim_end_matches('/'));
    Start::new(program).directory(scratch.path("")).env("PATH", path).command([command])
}

#[test]
fn empty_element_is_the_current_directory() {
    check("lookup", |program| {
        let scratch = Scratch::new();
        script(&scratch, "command", 42, 0o755);
        for path in [":/nowhere", "/nowhere:", "/nowhere::/elsewhere", ""] {
            start(program, &scratch, path, "command").run().expect(42);
        }
        assert!(start(program, &scratch, "/nowhere", "command").run().failed());
    });
}

#[test]
fn without_path_the_default_is_searched() {
    check("lookup", |program| {
        Start::new(program).without_env("PATH").command(["sh", "-c", "exit 42"]).run().expect(42);
    });
}

#[test]
fn name_with_a_slash_is_not_searched() {
    check("lookup", |program| {
        let scratch = Scratch::new();
        script(&scratch, "sub/command", 42, 0o755);
        start(program, &scratch, "/nowhere", "./sub/command").run().expect(42);
        start(program, &scratch, "/nowhere", "sub/command").run().expect(42);
        assert!(start(program, &scratch, "@/sub", "sub2/command").run().failed());
    });
}

#[test]
fn what_cannot_be_executed_is_passed_over() {
    check("lookup", |program| {
        let scratch = Scratch::new();
        script(&scratch, "denied/command", 1, 0o644);
        script(&scratch, "directory/command/nothing", 1, 0o644);
        script(&scratch, "file", 1, 0o755);
        script(&scratch, "found/command", 42, 0o755);
        script(&scratch, "later/command", 43, 0o755);
        for first in ["@/denied", "@/directory", "@/file", "@/nowhere", &"/long".repeat(1500), "@/denied:@/nowhere"] {
            start(program, &scratch, &format!("{first}:@/found:@/later"), "command").run().expect(42);
        }
    });
}

#[test]
fn denied_everywhere_is_126() {
    check("lookup-denied", |program| {
        let scratch = Scratch::new();
        script(&scratch, "denied/command", 1, 0o644);
        for path in ["@/denied", "@/denied:@/nowhere", "@/nowhere:@/denied"] {
            start(program, &scratch, path, "command").run().expect(126);
        }
    });
}

#[test]
fn nowhere_is_127() {
    check("lookup-nowhere", |program| {
        let scratch = Scratch::new();
        script(&scratch, "sub/other", 1, 0o755);
        for (path, command) in [("@/sub:@/nowhere", "command"), ("@/sub", ""), ("@", "./command"), ("@", "/")] {
            let ended = start(program, &scratch, path, command).run();
            ended.expect(if command == "/" { 126 } else { 127 });
        }
    });
}

#[test]
fn failure_is_one_line_that_names_command_and_reason() {
    check_init(|program| {
        let scratch = Scratch::new();
        script(&scratch, "denied/command", 1, 0o644);
        for (path, command, reason) in [
            ("@/denied", "command", "Permission denied"),
            ("/nowhere", "command", "not found"),
            ("/nowhere", "./command", "No such file or directory"),
            ("@", "/etc/passwd/command", "Not a directory"),
        ] {
            let ended = start(program, &scratch, path, command).run();
            ended.expect_one_line();
            assert!(ended.stderr.contains(command) && ended.stderr.contains(reason), "{ended:?}");
        }
    });
}

#[test]
fn search_is_as_the_user() {
    // A root that has not dropped would find the first one.
    check_init(|program| {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new();
        script(&scratch, "private/command", 1, 0o755);
        script(&scratch, "found/command", 42, 0o755);
        std::fs::set_permissions(scratch.path("private"), PermissionsExt::from_mode(0o700)).unwrap();
        start(program, &scratch, "@/private:@/found", "command").run().expect(42);
        start(program, &scratch, "@/private", "command").run().expect(126);
    });
}
