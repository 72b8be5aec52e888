//! What came of attempts: what the client saw, and what arrived at the origins meanwhile.

use takumi_test::engine::Container;

/// One connection or one piece of data that reached an origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// Seconds since 1970.
    pub time: f64,
    /// The origin's port.
    pub port: u16,
    /// None for the connection itself.
    pub bytes: Option<Vec<u8>>,
}

/// What an origin has seen so far.
pub fn arrivals(origin: &Container) -> Vec<Arrival> {
    let (stdout, _) = origin.logs();
    let mut arrivals = Vec::new();
    for line in stdout.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            [time, port, "accept"] => {
                arrivals.push(Arrival { time: time.parse().unwrap(), port: port.parse().unwrap(), bytes: None });
            }
            [time, port, "bytes", hex] => arrivals.push(Arrival {
                time: time.parse().unwrap(),
                port: port.parse().unwrap(),
                bytes: Some(unhex(hex)),
            }),
            _ => {}
        }
    }
    arrivals
}

/// What came of one attempt.
#[derive(Debug)]
pub struct AttemptResult {
    /// Its name.
    pub name: String,
    /// The proxy's first status, or `closed`, `silent`, `garbage`.
    pub status: String,
    /// All that the client got.
    pub answer: String,
    /// The allowed host's ports that were connected to.
    pub good: Vec<u16>,
    /// The other host's.
    pub evil: Vec<u16>,
    /// What the allowed host got.
    pub good_got: String,
}

impl AttemptResult {
    /// Nothing arrived anywhere.
    pub fn nothing(&self) -> bool {
        self.good.is_empty() && self.evil.is_empty()
    }
}

/// Gives each attempt what arrived between its beginning and the next one's.
pub fn outcomes(output: &str, good: &[Arrival], evil: &[Arrival]) -> Vec<AttemptResult> {
    let lines: Vec<Vec<&str>> = output.lines().map(|line| line.split('\t').collect()).collect();
    let began = |line: &[&str]| line[1].parse::<f64>().unwrap();
    let mut outcomes = Vec::new();
    for pair in lines.windows(2) {
        let (from, to) = (began(&pair[0]), began(&pair[1]));
        let during = |arrivals: &[Arrival]| -> Vec<Arrival> {
            arrivals.iter().filter(|arrival| (from..to).contains(&arrival.time)).cloned().collect()
        };
        let ports = |arrivals: &[Arrival]| -> Vec<u16> {
            arrivals.iter().filter(|arrival| arrival.bytes.is_none()).map(|arrival| arrival.port).collect()
        };
        let (good, evil) = (during(good), during(evil));
        let got = good.iter().filter_map(|arrival| arrival.bytes.clone()).collect::<Vec<_>>().concat();
        outcomes.push(AttemptResult {
            name: pair[0][0].to_owned(),
            status: pair[0][3].to_owned(),
            answer: String::from_utf8_lossy(&unhex(pair[0][4])).into_owned(),
            good: ports(&good),
            evil: ports(&evil),
            good_got: String::from_utf8_lossy(&got).into_owned(),
        });
    }
    outcomes
}

/// As the programs in peers/ read and write bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}
