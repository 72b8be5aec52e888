//! Ending: what lies between COMMAND's end and PID 1's, and how long `init` waits for what does not answer.

use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::check::App;
use crate::os;
use crate::programs::{BenchFolder, Program, as_pid_1, working};
use crate::table::{Goal, median, number, order, print, quantile};

/// COMMAND's last word to the program's end, in milliseconds.
pub fn ends(place: &BenchFolder, runs: usize) -> Vec<Goal> {
    let command = [place.stamp()];
    let programs: Vec<Program> = working(place.supervisors(), &as_pid_1(), &command);
    let mut delays: Vec<Vec<f64>> = programs.iter().map(|_| Vec::new()).collect();
    for round in 0..runs {
        for index in order(round, programs.len()) {
            let output = programs[index].over(&as_pid_1(), &command).output().unwrap();
            delays[index].push((os::now() - os::stamps(&output.stdout)[0]) as f64 / 1e6);
        }
    }
    let position = programs.iter().position(|program| program.name == "init");
    let goals = vec![
        Goal::at_most("init after COMMAND, ms", position.map(|index| median(&delays[index])), 250.0),
        Goal::at_most("2000 leftovers that ignore SIGTERM, grace 200 ms, ms", Some(crowd(place)), 10_000.0),
        Goal::at_most("--check of a silent server within 2 s, ms", Some(silent_check(place)), 2_300.0),
        Goal::at_most("--report with a proxy that is not there, ms", Some(report(place, &closed())), 1_000.0),
        Goal::at_most("--report with a silent proxy, ms", Some(silent_report(place)), 2_500.0),
    ];
    let row = |(program, samples): (&Program, &Vec<f64>)| {
        let figure = |q| number(quantile(samples, q).unwrap_or(f64::NAN));
        vec![program.name.to_owned(), figure(0.5), figure(0.1), figure(0.9)]
    };
    let rows: Vec<Vec<String>> = programs.iter().zip(&delays).map(row).collect();
    let title = format!("ends: COMMAND's end to that of its namespace, {runs} interleaved runs, ms");
    print(&title, &["program", "median", "p10", "p90"], &rows, &goals);
    goals
}

fn crowd(place: &BenchFolder) -> f64 {
    let line = "trap '' TERM; i=0; while [ $i -lt 2000 ]; do sleep 600 >/dev/null & i=$((i + 1)); done; echo";
    let words = [&as_pid_1()[..], &[place.init(), "/bin/sh".into(), "-c".into(), line.into()]].concat();
    let mut run = init(&words);
    let mut child = run.env("TAKUMI_LEFTOVER_GRACE", "200ms").stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let began = Instant::now();
    child.wait().unwrap();
    milliseconds(began)
}

fn silent_check(place: &BenchFolder) -> f64 {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", server.local_addr().unwrap());
    let _app = App::start(place, &url, "2s");
    let mut check = init(&[place.init(), "--check".into()]);
    let began = Instant::now();
    let status = check.env("TAKUMI_HEALTH_URL", url).env("TAKUMI_HEALTH_TIMEOUT", "2s").status().unwrap();
    assert!(!status.success(), "a silent server is no healthy one");
    milliseconds(began)
}

fn silent_report(place: &BenchFolder) -> f64 {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    report(place, &server.local_addr().unwrap().to_string())
}

fn closed() -> String {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.local_addr().unwrap().to_string()
}

fn report(place: &BenchFolder, proxy: &str) -> f64 {
    let mut report = init(&[place.init(), "--report".into()]);
    report.env("HTTPS_PROXY", format!("http://{proxy}")).env("TAKUMI_EGRESS", "require");
    let began = Instant::now();
    report.status().unwrap();
    milliseconds(began)
}

fn init(words: &[PathBuf]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TAKUMI_LOG", "error");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}
