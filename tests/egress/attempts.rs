//! The vectors: what is sent to the proxy, and what must come of it.

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

/// Both files, in order.
pub fn all() -> Vec<Attempt> {
    let attempts = parse(include_str!("vectors/proxy-bypass.txt"));
    assert_eq!(attempts.len(), 30);
    attempts.into_iter().chain(parse(include_str!("vectors/further.txt"))).collect()
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
