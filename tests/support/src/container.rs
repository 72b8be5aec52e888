//! A start of a container: hardened as scripts/up.sh does it, unless a test says otherwise.

use crate::engine::{Container, Ended, Volume, ask, engine};
use crate::folder::fresh_name;
use crate::image::Image;
use crate::poll::eventually;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// What README.md names, with the reasons.
pub const CAPABILITIES: [&str; 6] = ["SETUID", "SETGID", "SETPCAP", "CHOWN", "DAC_READ_SEARCH", "FOWNER"];

/// The demonstration image's own CMD, for images that reset it.
pub const APP: [&str; 5] = ["python3", "/app/comfyui_standin.py", "--listen", "0.0.0.0", "--base-directory=/data"];

/// Options and COMMAND of one `docker run`.
pub struct Start<'a> {
    image: &'a Image,
    options: Vec<String>,
    capabilities: Vec<&'a str>,
    command: Vec<String>,
}

impl<'a> Start<'a> {
    /// As scripts/up.sh starts it.
    pub fn hardened(image: &'a Image) -> Start<'a> {
        let tmp = ["--tmpfs", "/tmp:rw,nosuid,nodev,noexec,mode=1777"];
        Start::bare(image).options(&tmp).options(&["--tmpfs", "/run:rw,nosuid,nodev,noexec,mode=755"])
    }

    /// The same without tmpfs.
    pub fn bare(image: &'a Image) -> Start<'a> {
        Start::plain(image)
            .options(&["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"])
            .options(&["--pids-limit", "256", "--memory", "1g"])
            .capabilities(&CAPABILITIES)
    }

    /// With the engine's own defaults.
    pub fn plain(image: &'a Image) -> Start<'a> {
        Start { image, options: Vec::new(), capabilities: Vec::new(), command: Vec::new() }
    }

    /// Further words for the engine.
    pub fn options(mut self, words: &[&str]) -> Start<'a> {
        self.options.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// A variable.
    pub fn env(self, name: &str, value: &str) -> Start<'a> {
        self.options(&["--env", &format!("{name}={value}")])
    }

    /// A volume at /data.
    pub fn data(self, volume: &Volume) -> Start<'a> {
        let mount = format!("type=volume,source={},destination=/data", volume.name);
        self.options(&["--mount", &mount])
    }

    /// A volume at /data that goes with the container.
    pub fn fresh_data(self) -> Start<'a> {
        self.options(&["--volume", "/data"])
    }

    /// Without one of the six.
    pub fn without_capability(mut self, capability: &str) -> Start<'a> {
        self.capabilities.retain(|each| *each != capability);
        self
    }

    /// Only these.
    pub fn capabilities(mut self, capabilities: &[&'a str]) -> Start<'a> {
        self.capabilities = capabilities.to_vec();
        self
    }

    /// COMMAND; without it the image's own runs.
    pub fn command(mut self, words: &[&str]) -> Start<'a> {
        self.command = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// A COMMAND for the shell.
    pub fn shell(self, line: &str) -> Start<'a> {
        self.command(&["sh", "-c", line])
    }

    /// A COMMAND for Python.
    pub fn python(self, program: &str) -> Start<'a> {
        self.command(&["python3", "-c", program])
    }

    /// The words after `run`, for a container of this name.
    pub fn words(&self, name: &str) -> Vec<String> {
        let mut words = vec!["--name".to_owned(), name.to_owned()];
        words.extend(self.options.iter().cloned());
        words.extend(self.capabilities.iter().map(|capability| format!("--cap-add={capability}")));
        words.push(self.image.name.clone());
        words.extend(self.command.iter().cloned());
        words
    }

    /// Starts it and returns at once.
    #[track_caller]
    pub fn spawn(&self) -> Container {
        let container = Container { name: fresh_name("container") };
        let words = self.words(&container.name);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        ask(&[&["run", "--detach"], words.as_slice()].concat());
        container
    }

    /// Starts it and waits for its end.
    #[track_caller]
    pub fn run(&self) -> Ended {
        self.spawn().end()
    }

    /// Starts the app, published on a free port, and waits until it answers.
    #[track_caller]
    pub fn app(self) -> App {
        let container = self.options(&["--publish", "127.0.0.1::8188"]).spawn();
        let address = eventually("a published port", || {
            let port = engine(&["port", &container.name, "8188/tcp"]).output().unwrap();
            assert!(container.is_running(), "the app ended before it answered: {:?}", container.end());
            String::from_utf8_lossy(&port.stdout).lines().next().map(str::to_owned)
        });
        let app = App { container, address };
        eventually("the app's answer", || {
            assert!(app.container.is_running(), "the app ended before it answered: {:?}", app.container.end());
            app.get("/prompt")
        });
        app
    }
}

/// A container whose app answers.
pub struct App {
    /// The container.
    pub container: Container,
    address: String,
}

impl App {
    /// The body of the answer to a GET, if it is a 200.
    pub fn get(&self, path: &str) -> Option<String> {
        self.exchange(&format!("GET {path} HTTP/1.0\r\n\r\n"))
    }

    /// The body of the answer to a POST, if it is a 200.
    pub fn post(&self, path: &str, body: &str) -> Option<String> {
        self.exchange(&format!("POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    fn exchange(&self, request: &str) -> Option<String> {
        let mut connection = TcpStream::connect(&self.address).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        connection.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.split(' ').nth(1).filter(|code| *code == "200")?;
        Some(body.to_owned())
    }
}

/// A process as the host's kernel shows it.
pub struct Process {
    pid: u32,
    status: String,
}

impl Process {
    /// PID 1 of a running container.
    pub fn first(container: &Container) -> Process {
        Process::of(container.inspect(".State.Pid").parse().unwrap())
    }

    /// This pid, of the host's counting.
    pub fn of(pid: u32) -> Process {
        Process { pid, status: std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap() }
    }

    /// Its one child.
    pub fn child(&self) -> Process {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid)).unwrap();
        Process::of(children.trim().parse().unwrap_or_else(|_| panic!("expected one child: '{children}'")))
    }

    /// A field of its status, blanks between the words.
    pub fn field(&self, name: &str) -> String {
        let prefix = format!("{name}:");
        let line = self.status.lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("no {name}")).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What is wrong with it as nobody in particular: empty for user 1000 that holds nothing and can gain nothing.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |name: &str, right: &dyn Fn(&str) -> bool| {
            let value = self.field(name);
            if !right(&value) {
                faults.push(format!("{name}: {value}"));
            }
        };
        for ids in ["Uid", "Gid"] {
            expect(ids, &|value| value == "1000 1000 1000 1000");
        }
        expect("Groups", &|value| value.is_empty() || value == "1000");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            expect(set, &|value| value.bytes().all(|digit| digit == b'0'));
        }
        expect("NoNewPrivs", &|value| value == "1");
        faults
    }

    /// Options of the mount at `point`, as this process sees it.
    pub fn mount_options(&self, point: &str) -> String {
        let mounts = std::fs::read_to_string(format!("/proc/{}/mountinfo", self.pid)).unwrap();
        let of_point =
            mounts.lines().rev().map(|line| line.split(' ').collect::<Vec<_>>()).find(|line| line[4] == point);
        of_point.unwrap_or_else(|| panic!("no mount at {point}"))[5].to_owned()
    }
}
