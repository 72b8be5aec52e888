//! The proxy that the environment names.

use crate::settings::split_variable;
use base64ct::{Base64, Encoding};
use std::ffi::CStr;
use std::fmt;
use zeroize::Zeroizing;

/// Both cases of each variable that names a proxy, the one that is checked first. Where both cases are set, programs
/// take the lower one (curl, Python's urllib and requests).
pub const PROXY_VARIABLES: [[&str; 2]; 3] =
    [["https_proxy", "HTTPS_PROXY"], ["http_proxy", "HTTP_PROXY"], ["all_proxy", "ALL_PROXY"]];
/// Both cases of the variable that names what is reached without one.
pub const NO_PROXY_VARIABLES: [&str; 2] = ["no_proxy", "NO_PROXY"];
/// What COMMAND must reach without a proxy: itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What the environment says of a proxy. An empty variable is one that is not set, as programs take it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProxyVariables {
    /// Which variables name a proxy; the first of them is the one that is checked.
    pub variables: Vec<&'static str>,
    /// What the first of them says, where it can be checked.
    pub proxy: Option<Proxy>,
    /// A variable that names another proxy, which nobody checks.
    pub conflicting: Option<&'static str>,
    /// What is wrong with them.
    pub errors: Vec<ProxyError>,
}

/// What is wrong with a variable. Values are not repeated: there may be a password in them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyError {
    /// It is no `http://HOST:PORT`.
    NotHttpUrl(&'static str),
    /// It names a proxy of another kind: the variable and the scheme.
    Scheme(&'static str, &'static str),
    /// The two cases of one name say different things.
    CaseMismatch(&'static str, &'static str),
    /// It exempts every host from the proxy.
    ExemptsAll(&'static str),
}

#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// As the variable has it: letters, digits, `.`, `-` and `_`, or an IPv6 address in brackets.
    pub host: String,
    pub port: u16,
    authorization: Option<Zeroizing<String>>,
}

impl Proxy {
    /// `Basic …`, where the variable has a user's name and password in it. Not to be shown.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_ref().map(|value| value.as_str())
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self}{})", if self.authorization.is_some() { ", with a login" } else { "" })
    }
}

impl ProxyVariables {
    pub fn from_environment(environment: &[&CStr]) -> Self {
        let mut named = ProxyVariables::default();
        let values = read_values(environment);
        let mut first: Option<(&'static str, Result<Proxy, ProxyError>)> = None;
        for (names, values) in PROXY_VARIABLES.iter().zip(values.proxies) {
            let said = names.iter().zip(values).filter_map(|(&name, value)| Some((name, parse_proxy(name, value?))));
            let said: Vec<(&'static str, Result<Proxy, ProxyError>)> = said.collect();
            named.variables.extend(said.iter().map(|(name, _)| *name));
            named.errors.extend(said.iter().filter_map(|(_, said)| said.as_ref().err()));
            if let [(lower, Ok(one)), (upper, Ok(other))] = said.as_slice()
                && one != other
            {
                named.errors.push(ProxyError::CaseMismatch(lower, upper));
            }
            let Some((name, said)) = said.into_iter().next() else { continue };
            match &first {
                None => first = Some((name, said)),
                Some((_, one)) if named.conflicting.is_none() && said.is_ok() && *one != said => {
                    named.conflicting = Some(name)
                }
                Some(_) => {}
            }
        }
        named.proxy = first.and_then(|(_, said)| said.ok());
        if named.variables.is_empty() {
            return named;
        }
        let except = values.no_proxy.map(|value| value.map(with_loopback));
        for (name, value) in NO_PROXY_VARIABLES.iter().zip(&except) {
            if value.as_ref().is_some_and(|value| split_list(value).any(|item| item == b"*")) {
                named.errors.push(ProxyError::ExemptsAll(name));
            }
        }
        if let [Some(lower), Some(upper)] = &except
            && sorted_items(lower) != sorted_items(upper)
        {
            named.errors.push(ProxyError::CaseMismatch(NO_PROXY_VARIABLES[0], NO_PROXY_VARIABLES[1]));
        }
        named
    }
}

/// TCP ports of all proxies that are named, each as often as it is; `None` where no variable names one. One that cannot
/// be read adds none.
pub fn proxy_ports(environment: &[&CStr]) -> Option<Vec<u16>> {
    let values = read_values(environment);
    let said = PROXY_VARIABLES.as_flattened().iter().zip(values.proxies.as_flattened());
    let said: Vec<_> = said.filter_map(|(name, value)| Some(parse_proxy(name, (*value)?))).collect();
    (!said.is_empty()).then(|| said.into_iter().flatten().map(|proxy| proxy.port).collect())
}

/// The values of both cases, in the order of [`PROXY_VARIABLES`].
pub struct ProxyValues<'a> {
    pub proxies: [[Option<&'a [u8]>; 2]; 3],
    /// Of [`NO_PROXY_VARIABLES`].
    pub no_proxy: [Option<&'a [u8]>; 2],
}

pub fn read_values<'a>(environment: &[&'a CStr]) -> ProxyValues<'a> {
    let mut values = ProxyValues { proxies: [[None; 2]; 3], no_proxy: [None; 2] };
    for variable in environment {
        let (name, value) = split_variable(variable.to_bytes());
        if value.is_empty() || !name.ends_with(b"_proxy") && !name.ends_with(b"_PROXY") {
            continue;
        }
        let places = values.proxies.as_flattened_mut().iter_mut().chain(&mut values.no_proxy);
        let known = PROXY_VARIABLES.as_flattened().iter().chain(&NO_PROXY_VARIABLES);
        if let Some((_, place)) = known.zip(places).find(|(known, _)| known.as_bytes() == name) {
            // getenv(3) takes the first of two.
            place.get_or_insert(value);
        }
    }
    values
}

/// `http://[USER[:PASSWORD]@]HOST[:PORT][/]`
fn parse_proxy(name: &'static str, value: &[u8]) -> Result<Proxy, ProxyError> {
    const OTHERS: [&str; 6] = ["https", "socks5h", "socks5", "socks4a", "socks4", "socks"];
    let wrong = || ProxyError::NotHttpUrl(name);
    let text = std::str::from_utf8(value).map_err(|_| wrong())?;
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    if let Some(other) = OTHERS.iter().find(|other| scheme.eq_ignore_ascii_case(other)) {
        return Err(ProxyError::Scheme(name, other));
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(wrong());
    }
    // A path is a sign of something else: a PAC file's address, or a password with a slash in it.
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (login, place) = match authority.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, authority),
    };
    let (host, port) = match place.rfind(']') {
        Some(end) => place.split_at(end + 1),
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => 80,
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits.parse().map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_name = |host: &str| {
        let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        !host.is_empty() && host.len() <= 253 && host.bytes().all(is_of_a_name)
    };
    let is_host = bracketed.map_or_else(|| is_name(host), |address| address.parse::<std::net::Ipv6Addr>().is_ok());
    let is_login = |login: &str| login.len() <= 1024 && !login.bytes().any(|byte| b"/?#".contains(&byte));
    if !is_host || port == 0 || !login.is_none_or(is_login) {
        return Err(wrong());
    }
    let authorization = login.map(|login| {
        let login = Zeroizing::new(percent_decode(login.as_bytes()));
        Zeroizing::new(["Basic ", Zeroizing::new(Base64::encode_string(&login)).as_str()].concat())
    });
    Ok(Proxy { host: host.to_ascii_lowercase(), port, authorization })
}

/// Percent-encoding undone (RFC 3986 2.1); a `%` that begins none stands for itself.
fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let pair = match after {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match pair {
            Some((high, low)) => {
                decoded.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

/// A list of NO_PROXY with the names of loopback appended that it lacks.
pub fn with_loopback(list: &[u8]) -> Vec<u8> {
    let mut whole = list.to_vec();
    for name in LOOPBACK {
        if !split_list(list).any(|item| item.eq_ignore_ascii_case(name.as_bytes()) || item == b"*") {
            if !whole.is_empty() {
                whole.push(b',');
            }
            whole.extend_from_slice(name.as_bytes());
        }
    }
    whole
}

/// Commas or spaces stand between them (curl takes both).
fn split_list(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| matches!(byte, b',' | b' ' | b'\t')).filter(|item| !item.is_empty())
}

fn sorted_items(list: &[u8]) -> Vec<Vec<u8>> {
    let mut items: Vec<Vec<u8>> = split_list(list).map(<[u8]>::to_ascii_lowercase).collect();
    items.sort_unstable();
    items.dedup();
    items
}

#[cfg(test)]
mod tests;
