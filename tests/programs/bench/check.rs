//! A healthy `--check` beside what a health check is made of elsewhere: the whole process, of the same URL.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::os;
use crate::programs::BenchFolder;
use crate::table::{Goal, median, number, order, print, quantile, ratio};

/// A server that costs as little as one can: what is measured is who asks.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/prompt", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
                    _ => break,
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    url
}

/// `init` over a COMMAND that sleeps, asked as root and as an ordinary user, beside curl and Python.
pub fn check(place: &BenchFolder, runs: usize) -> Vec<Goal> {
    let url = serve();
    let _app = App::start(place, &url, "10s");
    let init = place.init();
    let init = init.to_str().unwrap();
    let line = format!("import urllib.request; urllib.request.urlopen('{url}').read()");
    let ordinary = ["/usr/bin/setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
    let programs: [(&str, Vec<&str>); 6] = [
        ("init --check", vec![init, "--check"]),
        ("curl -fsS", vec!["/usr/bin/curl", "-fsS", &url]),
        ("python3 -c", vec!["/usr/bin/python3", "-c", &line]),
        ("setpriv true", [&ordinary[..], &["/bin/true"]].concat()),
        ("setpriv init --check", [&ordinary[..], &[init, "--check"]].concat()),
        ("true", vec!["/bin/true"]),
    ];
    let programs: Vec<(&str, Vec<&str>)> = programs
        .into_iter()
        .filter(|(name, words)| {
            let works = run(words).is_some();
            if !works {
                println!("{name}: left out, it does not work");
            }
            works
        })
        .collect();
    let mut times: Vec<Vec<f64>> = programs.iter().map(|_| Vec::new()).collect();
    let mut processor: Vec<Vec<f64>> = times.clone();
    for round in 0..runs {
        for index in order(round, programs.len()) {
            let (took, cpu) = run(&programs[index].1).unwrap_or_else(|| panic!("{}: failed", programs[index].0));
            times[index].push(took);
            processor[index].push(cpu);
        }
    }
    let of = |name: &str| -> &[f64] {
        programs.iter().position(|(known, _)| *known == name).map_or(&[], |index| &times[index])
    };
    let goals = vec![
        Goal::ratio("init --check / curl", of("init --check"), of("curl -fsS"), 0.5),
        Goal::ratio("init --check / python3", of("init --check"), of("python3 -c"), 0.1),
    ];
    let row = |index: usize| {
        let figure = |q| format!("{:.0}", quantile(&times[index], q).unwrap_or(f64::NAN));
        let of_curl = number(ratio(&times[index], of("curl -fsS"), 0.5).unwrap_or(f64::NAN));
        let name = programs[index].0.to_owned();
        vec![name, figure(0.5), figure(0.1), figure(0.9), format!("{:.0}", median(&processor[index])), of_curl]
    };
    let rows: Vec<Vec<String>> = (0..programs.len()).map(row).collect();
    let title = format!("check: one health check, {runs} interleaved runs, us");
    print(&title, &["program", "median", "p10", "p90", "CPU", "x curl"], &rows, &goals);
    goals
}

/// Wall time and processor time of one run, in microseconds; none where it fails.
fn run(words: &[&str]) -> Option<(f64, f64)> {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let child = command.spawn().ok()?;
    let usage = os::wait(&child);
    let took = began.elapsed().as_secs_f64() * 1e6;
    (usage.status == 0).then_some((took, usage.cpu_us))
}

/// `init` over `sleep`, told of the URL; it ends with the value.
pub struct App {
    child: Child,
}

impl App {
    /// Returns when COMMAND runs.
    pub fn start(place: &BenchFolder, url: &str, limit: &str) -> App {
        let mut command = Command::new(place.init());
        command.args(["/bin/sleep", "600"]).env_clear();
        command.envs([("PATH", "/usr/bin:/bin"), ("TAKUMI_LOG", "warn")]);
        command.envs([("TAKUMI_HEALTH_URL", url), ("TAKUMI_HEALTH_TIMEOUT", limit)]);
        let app = App { child: command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap() };
        let comm = format!("/proc/{}/comm", app.child.id());
        let deadline = Instant::now() + Duration::from_secs(20);
        while !std::fs::read_to_string(&comm).unwrap_or_default().starts_with("init:") {
            assert!(Instant::now() < deadline, "waited 20 s in vain for COMMAND");
            sleep(Duration::from_millis(1));
        }
        if !Path::new("/run/takumi/report.json").exists() {
            println!("no report: this check works only from /proc");
        }
        app
    }
}

impl Drop for App {
    fn drop(&mut self) {
        os::kill(self.child.id(), libc::SIGTERM);
        let _ = self.child.wait();
    }
}
