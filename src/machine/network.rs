//! Routes, the proxy, and what lies behind it. Nothing that is sent leaves a trace outside: the name is one that never
//! exists (RFC 6761 6.4), the addresses are nobody's (RFC 5737, RFC 3849), and no packet to them carries data.

use super::proxy::{Proxy, ProxyVariables};
use super::{ObserveOptions, hosts};
use crate::http;
use crate::settings::CheckMode;
use crate::settings::checks::Check;
use crate::sys::clock::Instant;
use crate::sys::socket::{self, ConnectOutcome, PendingConnection};
use crate::sys::{Errno, io};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Network {
    /// What the variables say.
    pub proxy_variables: ProxyVariables,
    pub routes: Option<Result<Vec<Route>, Errno>>,
    /// How far a connection to the proxy came; `None` where none is named that can be asked.
    pub proxy: Option<ProxyConnection>,
    /// What became of connections past the proxy; empty where none was tried.
    pub direct: Vec<DirectAttempt>,
}

/// A route to everywhere, or to a half or an eighth of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// Of IPv6.
    pub ipv6: bool,
    pub interface: String,
    /// The next router; `None` where there is none (a point-to-point link).
    pub gateway: Option<IpAddr>,
}

/// How far a connection to the proxy came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProxyConnection {
    /// Its name is neither an address nor in /etc/hosts.
    Unresolved,
    Failed(Errno),
    /// Nobody answered in time.
    TimedOut,
    /// It accepts connections. With its answer to a CONNECT that nobody may allow, where it was asked.
    Connected(Option<ConnectReply>),
}

/// What the proxy says to `CONNECT forbidden.invalid:443`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectReply {
    Status(u16),
    /// It closed the connection without a word.
    Closed,
    /// Its answer is no HTTP.
    NotHttp,
    /// It gave no whole line in time.
    TimedOut,
}

/// A connection past the proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirectAttempt {
    pub to: IpAddr,
    /// What became of it.
    pub outcome: DirectOutcome,
}

/// What became of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DirectOutcome {
    /// The kernel did not begin it.
    NotSent(Errno),
    /// Nobody answered in time.
    TimedOut,
    Connected,
    /// It failed, and the address itself said so, or a kernel that does not tell who did.
    Failed(Errno),
    /// This machine or the first router said that it will not be.
    Blocked(Errno),
    /// A router behind the first one said why it failed: the packet had left.
    LeftNetwork(Option<IpAddr>),
}

/// For the connection to the proxy and its answer together.
pub const PROXY_TIMEOUT: Duration = Duration::from_millis(1500);
/// For the connections past it, which are under way meanwhile.
pub const DIRECT_TIMEOUT: Duration = Duration::from_millis(300);

const TEST_NET_1: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const DOCUMENTATION_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// The name asked for, with the request's first line.
const CONNECT_FORBIDDEN: &str = "CONNECT forbidden.invalid:443 HTTP/1.1\r\nHost: forbidden.invalid:443\r\n";

impl Network {
    /// Takes at most [`PROXY_TIMEOUT`] and a few milliseconds. With TAKUMI_EGRESS=auto and no proxy in the environment
    /// only the environment is read.
    pub fn observe(options: &ObserveOptions) -> Self {
        let named = ProxyVariables::from_environment(options.environment);
        if options.settings.egress != CheckMode::Require && named.variables.is_empty() {
            return Network { proxy_variables: named, ..Network::default() };
        }
        let start = Instant::now();
        let (asks_routes, asks_direct) =
            (options.includes(&[Check::DefaultRoute]), options.includes(&[Check::DirectEgress]));
        let routes = (asks_routes || asks_direct).then(default_routes);
        let known = routes.as_ref().and_then(|routes| routes.as_ref().ok()).map_or(&[][..], Vec::as_slice);
        // A default route is judged by whether packets get out by it.
        let for_route = asks_routes && !known.is_empty() && !options.settings.skip.contains(&Check::DirectEgress);
        let direct = if asks_direct || for_route { begin_attempts(known) } else { Vec::new() };
        let proxy = named.proxy.as_ref().filter(|_| options.includes(&[Check::ProxyReachable, Check::ProxyDenies]));
        let proxy = proxy
            .map(|proxy| connect_to_proxy(proxy, options.includes(&[Check::ProxyDenies]), start.after(PROXY_TIMEOUT)));
        let mut direct: Vec<DirectAttempt> =
            direct.into_iter().map(|pending| pending.finish(known, start.after(DIRECT_TIMEOUT))).collect();
        infer_left_network(&mut direct);
        Network { proxy_variables: named, routes, proxy, direct }
    }
}

/// Routes of `lo` and of nothing (`unreachable`, `blackhole`) are none. Errors: the kernel's, where IPv4's table cannot
/// be read.
fn default_routes() -> Result<Vec<Route>, Errno> {
    const MAX_BYTES: usize = 4 << 20;
    let mut routes = ipv4_routes(&io::read_whole(c"/proc/net/route", MAX_BYTES)?);
    match io::read_whole(c"/proc/net/ipv6_route", MAX_BYTES) {
        Ok(text) => routes.extend(ipv6_routes(&text)),
        // A kernel without IPv6.
        Err(Errno(libc::ENOENT)) => {}
        Err(errno) => return Err(errno),
    }
    Ok(routes)
}

/// `RTF_UP` and `RTF_REJECT` (include/uapi/linux/route.h).
const RTF_UP: u32 = 0x1;
const RTF_REJECT: u32 = 0x200;

/// Of /proc/net/route (`man 5 proc_pid_net`): interface, destination, gateway, flags, three counters, mask; the
/// addresses in the machine's byte order. Two halves of the internet are a default route too, as VPN programs set it.
fn ipv4_routes(text: &[u8]) -> Vec<Route> {
    let lines = text.split(|&byte| byte == b'\n');
    let route = |line: &[u8]| {
        let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
        let interface = words.next()?;
        let mut number = || u32::from_str_radix(words.next()?, 16).ok();
        let (_, gateway, flags) = (number()?, number()?, number()?);
        let mask = u32::from_str_radix(words.nth(3)?, 16).ok()?;
        let is_default = mask.count_ones() <= 1 && interface != "lo" && flags & (RTF_UP | RTF_REJECT) == RTF_UP;
        let gateway = (gateway != 0).then(|| Ipv4Addr::from(gateway.to_ne_bytes()).into());
        is_default.then(|| Route { ipv6: false, interface: interface.to_string(), gateway })
    };
    lines.filter_map(route).collect()
}

/// Of /proc/net/ipv6_route: destination and its length, source and its length, next hop, metric, two counters, flags,
/// interface. 2000::/3 is all of the internet that there is.
fn ipv6_routes(text: &[u8]) -> Vec<Route> {
    let lines = text.split(|&byte| byte == b'\n');
    let route = |line: &[u8]| {
        let words: Vec<&str> = std::str::from_utf8(line).ok()?.split_ascii_whitespace().collect();
        let [_, length, _, _, hop, _, _, _, flags, interface] = words.as_slice() else { return None };
        let length = u32::from_str_radix(length, 16).ok()?;
        let (hop, flags) = (u128::from_str_radix(hop, 16).ok()?, u32::from_str_radix(flags, 16).ok()?);
        let is_default = length <= 3 && *interface != "lo" && flags & (RTF_UP | RTF_REJECT) == RTF_UP;
        let gateway = (hop != 0).then(|| Ipv6Addr::from(hop).into());
        is_default.then(|| Route { ipv6: true, interface: interface.to_string(), gateway })
    };
    lines.filter_map(route).collect()
}

/// One that may be under way.
struct PendingAttempt {
    to: IpAddr,
    connection: Result<PendingConnection, Errno>,
}

/// How many routers may pass a packet on that is to tell whether any does: the first one does, the second one would say
/// that it came too far. The addresses being nobody's, silence alone would not tell a closed way from an open one.
const SECOND_HOP: u8 = 2;

fn begin_attempts(routes: &[Route]) -> Vec<PendingAttempt> {
    let begin = |to: IpAddr, hops| PendingAttempt {
        to,
        connection: socket::connect_nonblocking(SocketAddr::new(to, 443), hops),
    };
    let mut attempts = Vec::with_capacity(4);
    for to in [TEST_NET_1, DOCUMENTATION_V6] {
        if to.is_ipv6() && !routes.iter().any(|route| route.ipv6) {
            continue;
        }
        let whole = begin(to, None);
        let is_sent = whole.connection.is_ok();
        attempts.push(whole);
        if is_sent {
            attempts.push(begin(to, Some(SECOND_HOP)));
        }
    }
    attempts
}

impl PendingAttempt {
    fn finish(self, routes: &[Route], deadline: Instant) -> DirectAttempt {
        let is_first = |by: IpAddr, begun: &PendingConnection| {
            // IPv6's routers send from another address than the one that a route names.
            by.is_ipv6() || begun.local_address() == Some(by) || routes.iter().any(|route| route.gateway == Some(by))
        };
        let outcome = match &self.connection {
            Err(errno) => DirectOutcome::NotSent(*errno),
            Ok(begun) => match begun.outcome(Instant::now().until(deadline)) {
                ConnectOutcome::Silent => DirectOutcome::TimedOut,
                ConnectOutcome::Connected => DirectOutcome::Connected,
                ConnectOutcome::Failed(errno, None) => DirectOutcome::Failed(errno),
                ConnectOutcome::Failed(errno, Some(icmp)) => match icmp.sender {
                    _ if icmp.time_exceeded => DirectOutcome::LeftNetwork(icmp.sender),
                    Some(by) if !is_first(by, begun) => DirectOutcome::LeftNetwork(Some(by)),
                    _ => DirectOutcome::Blocked(errno),
                },
            },
        };
        DirectAttempt { to: self.to, outcome }
    }
}

/// Kernels before 5.9 do not say why a connection failed: what ended only because it might not go farther had left.
fn infer_left_network(attempts: &mut [DirectAttempt]) {
    for pair in attempts.chunk_by_mut(|one, next| one.to == next.to) {
        if let [DirectAttempt { outcome: DirectOutcome::TimedOut, .. }, near] = pair
            && near.outcome == DirectOutcome::Failed(Errno(libc::EHOSTUNREACH))
        {
            near.outcome = DirectOutcome::LeftNetwork(None);
        }
    }
}

fn connect_to_proxy(proxy: &Proxy, ask: bool, deadline: Instant) -> ProxyConnection {
    let Some(address) = hosts::resolve(proxy.host.as_bytes()) else { return ProxyConnection::Unresolved };
    match http::connect(SocketAddr::new(address, proxy.port), deadline) {
        Ok(stream) => ProxyConnection::Connected(ask.then(|| send_connect(stream, proxy, deadline))),
        Err(error) => match error.raw_os_error() {
            Some(errno) => ProxyConnection::Failed(Errno(errno)),
            // std's own word for the end of its time.
            None => ProxyConnection::TimedOut,
        },
    }
}

fn send_connect(mut stream: TcpStream, proxy: &Proxy, deadline: Instant) -> ConnectReply {
    let mut request = zeroize::Zeroizing::new(Vec::with_capacity(2048));
    request.extend_from_slice(CONNECT_FORBIDDEN.as_bytes());
    if let Some(login) = proxy.authorization() {
        for part in ["Proxy-Authorization: ", login, "\r\n"] {
            request.extend_from_slice(part.as_bytes());
        }
    }
    request.extend_from_slice(b"\r\n");
    match http::send(&mut stream, &request, deadline) {
        Err(error) if http::is_timeout(&error) => return ConnectReply::TimedOut,
        // A proxy that answers without reading may have closed already; its answer is still there.
        _ => {}
    }
    let (mut line, mut filled) = ([0; 512], 0);
    let ends = |line: &[u8]| line.contains(&b'\n').then_some(());
    match http::read_until(&mut stream, &mut line, &mut filled, deadline, ends) {
        Err(error) if http::is_timeout(&error) => ConnectReply::TimedOut,
        _ if filled == 0 => ConnectReply::Closed,
        _ => parse_status(&line[..filled]).map_or(ConnectReply::NotHttp, ConnectReply::Status),
    }
}

/// The code of `HTTP/1.1 403 Filtered` (RFC 9112 4).
fn parse_status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let [b'0'..=b'9', b' ', code @ ..] = rest else { return None };
    let (code, rest) = code.split_at_checked(3)?;
    let ends = matches!(rest.first(), Some(b' ' | b'\r' | b'\n'));
    let code = code.iter().all(u8::is_ascii_digit).then_some(code)?;
    std::str::from_utf8(code).ok()?.parse().ok().filter(|code| ends && *code >= 100)
}

#[cfg(test)]
mod tests;
