//! From bytes to values. A parser says what it expected; who calls it knows the variable.

use super::{AccountRef, SignalRewrite, StopStep, UserSpec};
use crate::http::Url;
use crate::path;
use crate::sys::Signal;
use std::ffi::CString;
use std::time::Duration;

/// What a value should have been, in words that follow "expected".
pub type Expected = &'static str;
type Parsed<Value> = Result<Value, Expected>;

const ID: Expected = "a decimal id, 0 to 4294967294, digits only";
const DIRECTORIES: Expected = "absolute directories with colons between them, without `..`, and not / itself";

/// `0` to `4294967294`. 4294967295 is -1 to the kernel, "leave as it is": su-exec and setpriv run as root there.
pub fn id(text: &[u8]) -> Parsed<u32> {
    let number = decimal(text).ok_or(ID)?;
    u32::try_from(number).ok().filter(|&id| id != u32::MAX).ok_or(ID)
}

/// Digits only; `str::parse` would take a `+` too.
fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// An octal umask, `0` to `777`.
pub fn umask(text: &[u8]) -> Parsed<u32> {
    const UMASK: Expected = "an octal umask such as 022, 0 to 777";
    let octal = (1..=4).contains(&text.len()) && text.iter().all(|byte| (b'0'..=b'7').contains(byte));
    let digits = octal.then(|| std::str::from_utf8(text).ok()).flatten().ok_or(UMASK)?;
    u32::from_str_radix(digits, 8).ok().filter(|&mask| mask <= 0o777).ok_or(UMASK)
}

/// A user or group: all digits is an id, anything else must look like a name.
pub fn account_ref(text: &[u8]) -> Parsed<AccountRef> {
    if text.iter().all(u8::is_ascii_digit) {
        return id(text).map(AccountRef::Id);
    }
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.$@".contains(byte) || *byte >= 0x80;
    let begins = text.first().is_some_and(|first| !first.is_ascii_digit() && !b"-.$@".contains(first));
    if begins && text.iter().all(plain) {
        Ok(AccountRef::Name(text.to_vec()))
    } else {
        Err("a name, or a decimal id of 0 to 4294967294, digits only")
    }
}

/// `user`, `uid`, `user:group`, `uid:gid`, mixed as you like.
pub fn user_spec(text: &[u8]) -> Parsed<UserSpec> {
    const SPEC: Expected = "user, uid, user:group or uid:gid, ids decimal, 0 to 4294967294";
    let mut parts = text.splitn(2, |&byte| byte == b':');
    let user = account_ref(parts.next().unwrap_or_default()).map_err(|_| SPEC)?;
    let group = parts.next().map(account_ref).transpose().map_err(|_| SPEC)?;
    Ok(UserSpec { user, group })
}

pub fn yes_or_no(text: &[u8]) -> Parsed<bool> {
    word(text, &[("yes", true), ("no", false)], "yes or no")
}

/// One of some words.
pub fn word<Value: Copy>(text: &[u8], words: &[(&str, Value)], expected: Expected) -> Parsed<Value> {
    words.iter().find(|(word, _)| word.as_bytes() == text).map(|&(_, value)| value).ok_or(expected)
}

/// Items with `separator` between them; an empty text is an empty list, an empty item is an error of `item`'s.
pub fn list<Item>(text: &[u8], separator: u8, item: impl Fn(&[u8]) -> Parsed<Item>) -> Parsed<Vec<Item>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(|&byte| byte == separator).map(|part| item(part.trim_ascii())).collect()
}

/// Directories with colons between them.
pub fn directories(text: &[u8]) -> Parsed<Vec<CString>> {
    list(text, b':', |part| {
        path::absolute_components(part).filter(|names| !names.is_empty()).ok_or(DIRECTORIES)?;
        CString::new(part).map_err(|_| DIRECTORIES)
    })
}

/// One absolute path, or nothing.
pub fn directory(text: &[u8]) -> Parsed<Option<CString>> {
    let mut paths = directories(text)?;
    if paths.len() > 1 { Err("one absolute directory") } else { Ok(paths.pop()) }
}

/// Absolute files with colons between them.
pub fn files(text: &[u8]) -> Parsed<Vec<CString>> {
    directories(text).map_err(|_| "absolute files with colons between them, without `..`")
}

/// A number with `ms`, `s` or `m`.
pub fn duration(text: &[u8]) -> Parsed<Duration> {
    const TIME: Expected = "a time such as 500ms, 8s or 2m";
    let digits = text.iter().position(|byte| !byte.is_ascii_digit()).ok_or(TIME)?;
    let number = decimal(&text[..digits]).filter(|&number| number <= 1_000_000_000).ok_or(TIME)?;
    match &text[digits..] {
        b"ms" => Ok(Duration::from_millis(number)),
        b"s" => Ok(Duration::from_secs(number)),
        b"m" => Ok(Duration::from_secs(number * 60)),
        _ => Err(TIME),
    }
}

/// A signal that a process can get and hand on.
pub fn signal(text: &[u8]) -> Parsed<Signal> {
    std::str::from_utf8(text).ok().and_then(Signal::parse).ok_or("a signal such as TERM, SIGUSR1, RTMIN+3 or 15")
}

pub fn signal_rewrite(text: &[u8]) -> Parsed<SignalRewrite> {
    const REWRITE: Expected =
        "FROM=TO with commas between them, signals by name or number, FROM not KILL, STOP or CHLD";
    let equals = text.iter().position(|&byte| byte == b'=').ok_or(REWRITE)?;
    let from = signal(&text[..equals]).map_err(|_| REWRITE)?;
    if [Signal::KILL, Signal::STOP, Signal::CHLD].contains(&from) {
        return Err(REWRITE);
    }
    let to = &text[equals + 1..];
    let to = if to.is_empty() { None } else { Some(signal(to).map_err(|_| REWRITE)?) };
    Ok(SignalRewrite { from, to })
}

pub fn stop_step(text: &[u8]) -> Parsed<StopStep> {
    const RUNG: Expected = "rungs SIGNAL:TIME or drain:TIME with commas between them, such as drain:8s,TERM:1s";
    let colon = text.iter().position(|&byte| byte == b':').ok_or(RUNG)?;
    let time = duration(&text[colon + 1..]).map_err(|_| RUNG)?;
    match &text[..colon] {
        b"drain" => Ok(StopStep { signal: None, time }),
        name => Ok(StopStep { signal: Some(signal(name).map_err(|_| RUNG)?), time }),
    }
}

pub fn exit_code(text: &[u8]) -> Parsed<u8> {
    decimal(text).and_then(|code| u8::try_from(code).ok()).ok_or("exit codes 0 to 255 with commas between them")
}

pub fn port(text: &[u8]) -> Parsed<u16> {
    let port = decimal(text).and_then(|port| u16::try_from(port).ok()).filter(|&port| port > 0);
    port.ok_or("TCP ports 1 to 65535 with commas between them")
}

/// A descriptor that is none of the three standard ones.
pub fn descriptor(text: &[u8]) -> Parsed<u32> {
    let number =
        decimal(text).filter(|number| (3..=1_048_576).contains(number)).and_then(|number| u32::try_from(number).ok());
    number.ok_or("descriptors from 3 on with commas between them, or all")
}

/// The name of a variable.
pub fn variable_name(text: &[u8]) -> Parsed<Vec<u8>> {
    let begins = text.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_');
    if begins && text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
        Ok(text.to_vec())
    } else {
        Err("names of variables with commas between them")
    }
}

pub fn health_url(text: &[u8]) -> Parsed<Option<Url>> {
    if text.is_empty() { Ok(None) } else { Url::parse(text).map(Some).ok_or("http://HOST[:PORT]/PATH") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_other_programs_take_for_root_are_refused() {
        for text in [
            "", "+0", "-1", " 1000", "1000 ", "0x3e8", "1e3", "4294967295", "4294967296", "99999999999999999999999",
            "१",
        ] {
            assert!(id(text.as_bytes()).is_err(), "{text:?}");
        }
        assert_eq!(id(b"0"), Ok(0));
        assert_eq!(id(b"4294967294"), Ok(4_294_967_294));
        assert_eq!(id(b"0001000"), Ok(1000), "decimal, as docker reads it");
    }

    #[test]
    fn a_user_is_given_as_to_docker() {
        let name = |text: &str| AccountRef::Name(text.as_bytes().to_vec());
        assert_eq!(user_spec(b"app"), Ok(UserSpec { user: name("app"), group: None }));
        assert_eq!(user_spec(b"1000:video"), Ok(UserSpec { user: AccountRef::Id(1000), group: Some(name("video")) }));
        assert_eq!(user_spec(b"app:44"), Ok(UserSpec { user: name("app"), group: Some(AccountRef::Id(44)) }));
        for text in
            ["", ":", "app:", ":44", "+0", "-1", "1:2:3", "1000:-1", "1000:4294967295", "a b", "\n", "0x0", "1000x"]
        {
            assert!(user_spec(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_umask_is_octal() {
        assert_eq!(umask(b"022"), Ok(0o22));
        assert_eq!(umask(b"0077"), Ok(0o77));
        assert_eq!(umask(b"0"), Ok(0));
        for text in ["", "8", "1000", "7777", "00022", "u=rwx", "-1", "0o22"] {
            assert!(umask(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration(b"300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration(b"8s"), Ok(Duration::from_secs(8)));
        assert_eq!(duration(b"2m"), Ok(Duration::from_secs(120)));
        for text in ["", "8", "s", "-1s", "1.5s", "1h", "1 s", "99999999999999s"] {
            assert!(duration(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn directories_are_absolute_and_never_the_root() {
        assert_eq!(directories(b"/data:/cache/x"), Ok(vec![c"/data".into(), c"/cache/x".into()]));
        assert_eq!(directories(b""), Ok(vec![]));
        for text in ["data", "/", "//", "/.", "/data/../etc", "/data::/cache", ":", "/data:"] {
            assert!(directories(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn rewrites_and_rungs_name_signals() {
        assert_eq!(signal_rewrite(b"TERM=INT"), Ok(SignalRewrite { from: Signal::TERM, to: Some(Signal::INT) }));
        assert_eq!(signal_rewrite(b"1="), Ok(SignalRewrite { from: Signal::HUP, to: None }));
        for text in ["", "TERM", "TERM=NOPE", "=INT", "KILL=TERM", "CHLD=", "65=1"] {
            assert!(signal_rewrite(text.as_bytes()).is_err(), "{text:?}");
        }
        assert_eq!(stop_step(b"drain:8s"), Ok(StopStep { signal: None, time: Duration::from_secs(8) }));
        assert_eq!(stop_step(b"TERM:1s"), Ok(StopStep { signal: Some(Signal::TERM), time: Duration::from_secs(1) }));
        for text in ["", "TERM", "TERM:", ":1s", "DRAIN:8s", "TERM:1"] {
            assert!(stop_step(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_health_url_may_be_nothing_and_is_no_nonsense() {
        assert_eq!(health_url(b""), Ok(None));
        assert!(matches!(health_url(b"http://localhost/"), Ok(Some(_))) && health_url(b"https://a/").is_err());
    }
}
