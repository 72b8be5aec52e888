//! The vectors: what is sent to the proxy, and what must come of it.

use std::net::Ipv4Addr;

/// One line of a file in `vectors/`.
pub struct Attempt {
    /// Its name.
    pub name: String,
    /// What is sent.
    pub bytes: Vec<u8>,
    /// The file's word for what must come of it.
    pub expected: String,
}

/// What is sent inside the tunnel after a 200 to CONNECT: another host's name, as in domain fronting.
pub const INSIDE_THE_TUNNEL: &[u8] = b"GET /inside HTTP/1.1\r\nHost: evil.com\r\n\r\n";

impl Attempt {
    /// Whether silence would be an answer too: a proxy may wait for the rest of what is no request.
    pub fn may_be_silent(&self) -> bool {
        matches!(self.expected.as_str(), "refused" | "contained")
    }
}

const FILES: [&str; 2] = [include_str!("vectors/proxy-bypass.txt"), include_str!("vectors/further.txt")];

/// The other host's address in both files, where a test's network has another one.
const DOCUMENTED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);

/// Both files, in order, with the other host at this address.
pub fn all(evil: Ipv4Addr) -> Vec<Attempt> {
    let [first, further] = FILES.map(|file| parse(&with_address(file, evil)));
    assert_eq!(first.len(), 30);
    first.into_iter().chain(further).collect()
}

/// How the files write an address: with dots, as a number, in octal, in hexadecimal, and as its bytes.
fn spellings(address: Ipv4Addr) -> [String; 5] {
    let each = |form: fn(u8) -> String, between: &str| address.octets().map(form).join(between);
    let number = u32::from(address);
    let octal = each(|byte| format!("0{byte:o}"), ".");
    let bytes = each(|byte| format!("\\x{byte:02x}"), "");
    [address.to_string(), number.to_string(), octal, format!("0x{number:08x}"), bytes]
}

fn with_address(file: &str, address: Ipv4Addr) -> String {
    let pairs = spellings(DOCUMENTED).into_iter().zip(spellings(address));
    pairs.fold(file.to_owned(), |file, (from, to)| file.replace(&from, &to))
}

fn parse(file: &str) -> Vec<Attempt> {
    file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(attempt).collect()
}

/// `NAME  b'...' [* N] [+ b'...' ...]  EXPECTED`
fn attempt(line: &str) -> Attempt {
    let (name, mut rest) = line.split_once(" b'").unwrap_or_else(|| panic!("no bytes: {line}"));
    let mut bytes = Vec::new();
    loop {
        let (piece, after) = literal(rest);
        rest = after.trim_start_matches(' ');
        let mut times = 1;
        if let Some(after) = rest.strip_prefix("* ") {
            let (number, after) = after.split_once(' ').unwrap();
            times = number.parse().unwrap();
            rest = after.trim_start_matches(' ');
        }
        bytes.extend(piece.repeat(times));
        match rest.strip_prefix("+ b'") {
            Some(after) => rest = after,
            None => break,
        }
    }
    assert!(!rest.is_empty(), "no expectation: {line}");
    Attempt { name: name.trim().to_owned(), bytes, expected: rest.trim().to_owned() }
}

/// A Python bytes literal behind its first quote: its bytes, and what stands behind its last quote.
fn literal(text: &str) -> (Vec<u8>, &str) {
    let mut bytes = Vec::new();
    let mut rest = text.char_indices();
    while let Some((at, letter)) = rest.next() {
        match letter {
            '\'' => return (bytes, &text[at + 1..]),
            '\\' => match rest.next().unwrap().1 {
                'r' => bytes.push(b'\r'),
                'n' => bytes.push(b'\n'),
                't' => bytes.push(b'\t'),
                '\\' => bytes.push(b'\\'),
                'x' => {
                    let digits: String = (0..2).map(|_| rest.next().unwrap().1).collect();
                    bytes.push(u8::from_str_radix(&digits, 16).unwrap());
                }
                other => panic!("\\{other} in {text}"),
            },
            letter => bytes.push(u8::try_from(letter).unwrap()),
        }
    }
    panic!("no end: {text}");
}

#[test]
fn a_line_is_read_as_python_would() {
    let attempt = attempt(r"two words   b'A\r\n\x00\\' + b'ab' * 2 + b'C'    403 (why)");
    assert_eq!(attempt.name, "two words");
    assert_eq!(attempt.bytes, b"A\r\n\0\\ababC");
    assert_eq!(attempt.expected, "403 (why)");
}

#[test]
fn the_other_host_has_the_address_of_the_network_in_every_spelling() {
    let spelled = |address: Ipv4Addr| FILES.map(|file| with_address(file, address));
    assert_eq!(spelled(DOCUMENTED), FILES);
    for spelling in spellings(DOCUMENTED) {
        assert!(FILES.concat().contains(&spelling), "{spelling} stands nowhere");
        assert!(!spelled(Ipv4Addr::new(198, 51, 100, 18)).concat().contains(&spelling), "{spelling} is left");
    }
    let [first, further] = spelled(Ipv4Addr::new(198, 51, 100, 18));
    assert!(first.contains("CONNECT 198.51.100.18:443"));
    for spelling in ["3325256722", "0306.063.0144.022", "0xc6336412", "[::ffff:198.51.100.18]", r"\xc6\x33\x64\x12"] {
        assert!(further.contains(spelling), "{spelling} stands nowhere");
    }
}
