//! `takumi-secrets set` at a terminal: what is typed is not shown, and however it ends, what is typed next is.

use crate::support::SECRET;
use crate::tool::ToolFixture;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command};
use takumi_test::poll::{PATIENCE, eventually};
use takumi_test::pty::Pty;
use takumi_test::require;
use takumi_test::signal::number;

const PROMPT: &str = "value of NAME (not shown): ";

/// A program whose terminal this is.
struct Terminal {
    pty: Pty,
    child: Child,
}

impl Terminal {
    fn of(desk: &ToolFixture, words: &[&str]) -> Terminal {
        let pty = Pty::open().unwrap();
        assert!(pty.echoes());
        // What is typed before Ctrl-C and Ctrl-Z is dropped by the program, or not at all: the kernel would have done it too.
        assert!(Command::new("stty").arg("-F").arg(pty.path()).arg("noflsh").status().unwrap().success());
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(words).env_clear().env("PS1", "ready> ").current_dir(&desk.place.world.scratch);
        let child = command.stdin(pty.slave()).stdout(pty.slave()).stderr(pty.slave()).spawn().unwrap();
        Terminal { pty, child }
    }

    /// One that asks for a value.
    fn asking(desk: &ToolFixture) -> Terminal {
        let mut terminal = Terminal::of(desk, &[desk.tool.to_str().unwrap(), "set", ".env", "NAME"]);
        terminal.asks(1);
        terminal
    }

    /// It asks for the nth time, and what is typed is not shown.
    #[track_caller]
    fn asks(&mut self, times: usize) {
        self.shows(times, PROMPT);
        assert!(!self.pty.echoes());
    }

    #[track_caller]
    fn shows(&mut self, times: usize, words: &str) {
        assert!(self.pty.shows_times(times, words, PATIENCE), "{words} is not {times} times in {}", self.pty.text());
    }

    fn types(&self, keys: &str) {
        self.pty.press(keys).unwrap();
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The state letter of `man 5 proc`.
    fn is(&self, state: char) {
        eventually(&format!("state {state}"), || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
            stat.rsplit(')').next().unwrap().trim_start().starts_with(state).then_some(())
        });
    }

    /// Its code, or minus the signal that ended it. What is typed now is shown, and nothing of what was typed before.
    #[track_caller]
    fn end(&mut self) -> i32 {
        let status = eventually("the end", || self.child.try_wait().unwrap());
        self.types("seen\n");
        self.shows(1, "seen");
        let said = self.pty.text();
        assert!(!said.contains("never"), "{said}");
        status.code().unwrap_or_else(|| -status.signal().unwrap())
    }
}

fn desk() -> ToolFixture {
    let desk = ToolFixture::new();
    assert_eq!(desk.run(&["key", ".env"]).code, 0);
    desk
}

#[test]
fn a_value_that_is_typed_reaches_the_app_and_not_the_screen() {
    require!(namespaces, setsid);
    let desk = desk();
    let mut terminal = Terminal::asking(&desk);
    terminal.types(&format!(" {SECRET} $x\\'\"\n"));
    assert_eq!(terminal.end(), 0);
    assert_eq!(terminal.pty.text(), format!("{PROMPT}\r\nNAME: encrypted\r\nseen\r\n"));
    desk.start(".env").ran().has("NAME", format!(" {SECRET} $x\\'\""));
}

#[test]
fn whatever_ends_it_gives_the_echo_back_and_drops_half_a_value() {
    require!(namespaces, setsid);
    let desk = desk();
    let before = desk.read(".env");
    for (keys, name) in [("\x03", "INT"), ("\x1c", "QUIT"), ("", "TERM"), ("", "HUP")] {
        let mut terminal = Terminal::asking(&desk);
        if keys.is_empty() {
            terminal.signal(name);
        } else {
            terminal.types(&format!("{SECRET}{keys}"));
        }
        assert_eq!(terminal.end(), -number(name), "{name}");
        // What a shell would read now.
        let mut line = [0; 100];
        let length = File::from(terminal.pty.slave()).read(&mut line).unwrap();
        assert_eq!(&line[..length], b"seen\n", "{name}");
        assert_eq!(desk.read(".env"), before, "{name}");
    }
    // The control: nobody gives it back.
    let mut terminal = Terminal::asking(&desk);
    terminal.signal("KILL");
    eventually("the end", || terminal.child.try_wait().unwrap());
    assert!(!terminal.pty.echoes());
}

#[test]
fn a_stop_gives_the_echo_back_until_it_goes_on() {
    require!(namespaces, setsid);
    let desk = desk();
    let mut terminal = Terminal::asking(&desk);
    terminal.types("never-that\x1a");
    terminal.is('T');
    assert!(terminal.pty.echoes());
    terminal.signal("CONT");
    terminal.asks(2);
    terminal.types(&format!("{SECRET}\n"));
    assert_eq!(terminal.end(), 0);
    desk.start(".env").ran().has("NAME", SECRET);
}

/// A shell sets up the terminal for itself whenever a job stops, also for one that had no say in it.
#[test]
fn a_shell_stops_it_and_fetches_it_back() {
    require!(namespaces, setsid);
    let desk = desk();
    let mut terminal = Terminal::of(&desk, &["bash", "--norc", "--noprofile", "--noediting", "-i"]);
    terminal.shows(1, "ready> ");
    terminal.types(&format!("{} set .env NAME\n", desk.tool.display()));
    terminal.asks(1);
    terminal.types("never-that\x1a");
    terminal.shows(2, "ready> ");
    assert!(terminal.pty.echoes());
    terminal.types("fg\n");
    terminal.asks(2);
    let kill = Command::new("kill").args(["-s", "STOP", &terminal.pty.foreground().to_string()]).status().unwrap();
    assert!(kill.success());
    terminal.shows(3, "ready> ");
    assert!(terminal.pty.echoes());
    terminal.types("fg\n");
    terminal.asks(3);
    terminal.types(&format!("{SECRET}\n"));
    terminal.shows(4, "ready> ");
    assert!(terminal.pty.echoes());
    terminal.types("exit\n");
    assert_eq!(terminal.end(), 0);
    desk.start(".env").ran().has("NAME", SECRET);
}

#[test]
fn the_end_of_input_and_a_line_that_was_cut_are_no_value() {
    require!(namespaces, setsid);
    let desk = desk();
    for (typed, words) in
        [("\x04", "no value for NAME"), ("\n", "no value for NAME"), (&*("x".repeat(5000) + "\n"), "4094")]
    {
        let mut terminal = Terminal::asking(&desk);
        terminal.types(typed);
        assert_eq!(terminal.end(), 1);
        assert!(terminal.pty.text().contains(words), "{}", terminal.pty.text());
    }
    let longest = "x".repeat(4094);
    let mut terminal = Terminal::asking(&desk);
    terminal.types(&format!("{longest}\n"));
    assert_eq!(terminal.end(), 0);
    desk.start(".env").ran().has("NAME", longest);
}

#[test]
fn what_is_written_into_the_file_during_the_question_stays() {
    require!(namespaces, setsid);
    let desk = desk();
    let mut terminal = Terminal::asking(&desk);
    desk.place.file(".env", desk.read(".env") + "OTHER=1\n");
    terminal.types(&format!("{SECRET}\n"));
    assert_eq!(terminal.end(), 0);
    desk.start(".env").ran().has("NAME", SECRET).has("OTHER", "1");
}

/// What is wrong with the file is said before somebody types.
#[test]
fn a_file_without_a_key_is_refused_before_the_question() {
    require!(namespaces, setsid);
    let desk = ToolFixture::new();
    desk.place.file(".env", "A=1\n");
    let mut terminal = Terminal::of(&desk, &[desk.tool.to_str().unwrap(), "set", ".env", "NAME"]);
    assert_eq!(terminal.end(), 1);
    let said = terminal.pty.text();
    assert!(said.contains("DOTENV_PUBLIC_KEY") && !said.contains(PROMPT), "{said}");
}
