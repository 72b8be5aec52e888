//! TCP connections that are begun without waiting, and asked afterwards what became of them.

use super::Errno;
use super::descriptor;
use super::errno::{cerr, cerr_int};
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// One that was begun. Dropping it gives it up.
pub struct Begun {
    socket: OwnedFd,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nobody has answered yet.
    Silent,
    /// Somebody accepts.
    Connected,
    /// It failed. With an ICMP message where one was the reason and the kernel tells (Linux 5.9 and newer); without one the
    /// address itself answered.
    Failed(Errno, Option<Icmp>),
}

/// An ICMP message about a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Icmp {
    /// Who sent it.
    pub by: Option<IpAddr>,
    /// It says that the packet had been on its way for more hops than it was allowed.
    pub too_far: bool,
}

/// Begins to connect. `hops`: how many routers may pass the packets on. Errors: what the kernel says at once (no route, no
/// permission).
pub fn begin(address: SocketAddr, hops: Option<u8>) -> Result<Begun, Errno> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: takes numbers only.
    let number = cerr_int(unsafe {
        libc::socket(family, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, libc::IPPROTO_TCP)
    })?;
    // SAFETY: the kernel has just given this descriptor to us alone.
    let socket = descriptor::given(unsafe { OwnedFd::from_raw_fd(number) })?;
    let (level, errors, limit) = match address {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_RECVERR, libc::IP_TTL),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, libc::IPV6_UNICAST_HOPS),
    };
    // A sandbox that lacks it says less afterwards, not something else.
    let _ = set(&socket, level, errors, 1);
    if let Some(hops) = hops {
        set(&socket, level, limit, i32::from(hops))?;
    }
    let answer = match address {
        SocketAddr::V4(address) => {
            let place = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: the kernel reads one sockaddr_in of that size.
            unsafe { libc::connect(number, (&raw const place).cast(), size_of::<libc::sockaddr_in>() as u32) }
        }
        SocketAddr::V6(address) => {
            let place = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: the kernel reads one sockaddr_in6 of that size.
            unsafe { libc::connect(number, (&raw const place).cast(), size_of::<libc::sockaddr_in6>() as u32) }
        }
    };
    match cerr_int(answer) {
        Ok(_) | Err(Errno(libc::EINPROGRESS | libc::EINTR)) => Ok(Begun { socket }),
        Err(errno) => Err(errno),
    }
}

fn set(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> Result<(), Errno> {
    // SAFETY: the kernel reads one int of that size.
    cerr_int(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
    .map(drop)
}

impl Begun {
    /// Waits at most that long for an end.
    pub fn outcome(&self, patience: Duration) -> Outcome {
        let mut waiting = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // A part of a millisecond is a whole one: a deadline that is near must not be asked for a thousand times.
        let milliseconds = patience.as_micros().div_ceil(1000).min(60_000) as libc::c_int;
        // SAFETY: one valid pollfd.
        match cerr_int(unsafe { libc::poll(&mut waiting, 1, milliseconds) }) {
            // A signal: no answer so far, which is the careful side of an early end.
            Ok(0) | Err(Errno(libc::EINTR)) => return Outcome::Silent,
            Ok(_) => {}
            Err(errno) => return Outcome::Failed(errno, None),
        }
        // Before the queue is read: reading it clears this one.
        let error = self.error();
        let queued = self.queued();
        match (error, queued) {
            (Ok(Errno(0)), Some((errno, icmp))) => Outcome::Failed(errno, Some(icmp)),
            (Ok(Errno(0)), None) if waiting.revents & libc::POLLOUT != 0 => Outcome::Connected,
            (Ok(Errno(0)), None) => Outcome::Silent,
            (Ok(errno), queued) => Outcome::Failed(errno, queued.map(|(_, icmp)| icmp)),
            (Err(errno), _) => Outcome::Failed(errno, None),
        }
    }

    /// The address that the connection begins at.
    pub fn own_address(&self) -> Option<IpAddr> {
        let mut place = [0_u64; 16];
        let mut size = size_of::<[u64; 16]>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `size` bytes into the place, which is aligned for every address.
        cerr_int(unsafe { libc::getsockname(self.socket.as_raw_fd(), place.as_mut_ptr().cast(), &mut size) }).ok()?;
        address(bytes_of(&place))
    }

    fn error(&self) -> Result<Errno, Errno> {
        let mut error: libc::c_int = -1;
        let mut size = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the kernel writes at most one int.
        cerr_int(unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ERROR,
                (&raw mut error).cast(),
                &mut size,
            )
        })?;
        // As it was before the call: nobody has answered.
        if error == -1 { Err(Errno(libc::EPROTO)) } else { Ok(Errno(error)) }
    }

    /// The first message of the error queue (`man 7 ip`, IP_RECVERR).
    fn queued(&self) -> Option<(Errno, Icmp)> {
        let mut content = [0_u8; 256];
        let mut control = [0_u64; 32];
        let mut part = libc::iovec { iov_base: content.as_mut_ptr().cast(), iov_len: content.len() };
        // SAFETY: a msghdr of zeroes is a valid value (it has padding on some C libraries, so it cannot be written out).
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of::<[u64; 32]>() as _;
        // SAFETY: the kernel writes at most what each part of the message says into it.
        let answer =
            unsafe { libc::recvmsg(self.socket.as_raw_fd(), &mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
        cerr(answer as libc::c_long).ok()?;
        let filled = (message.msg_controllen as usize).min(size_of::<[u64; 32]>());
        message_of(&bytes_of(&control)[..filled])
    }
}

fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: initialised words are initialised bytes, and bytes have no alignment.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

/// Finds the error among control messages: `struct cmsghdr` (length 8, level 4, type 4), then `struct sock_extended_err` (errno
/// 4, origin 1, type 1, code 1, 9 more), then the address of who sent it.
fn message_of(mut control: &[u8]) -> Option<(Errno, Icmp)> {
    let int = |at: usize, control: &[u8]| Some(i32::from_ne_bytes(control.get(at..at + 4)?.try_into().ok()?));
    while control.len() >= 32 {
        let length = usize::from_ne_bytes(control.get(..8)?.try_into().ok()?).clamp(16, control.len());
        let kind = (int(8, control)?, int(12, control)?);
        let errors = [(libc::IPPROTO_IP, libc::IP_RECVERR), (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)];
        let (errno, origin, icmp) = (int(16, control)?, *control.get(20)?, *control.get(21)?);
        if errors.contains(&kind) && [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6].contains(&origin) {
            // "Time exceeded" is type 11 of ICMP (RFC 792) and type 3 of ICMPv6 (RFC 4443).
            let too_far = icmp == if origin == libc::SO_EE_ORIGIN_ICMP { 11 } else { 3 };
            return Some((Errno(errno), Icmp { by: address(control.get(32..length)?), too_far }));
        }
        control = control.get(length.next_multiple_of(8)..)?;
    }
    None
}

/// The address in a `sockaddr_in` (family 2, port 2, address 4) or `sockaddr_in6` (family 2, port 2, flow 4, address 16).
fn address(place: &[u8]) -> Option<IpAddr> {
    match i32::from(u16::from_ne_bytes(place.get(..2)?.try_into().ok()?)) {
        libc::AF_INET => <[u8; 4]>::try_from(place.get(4..8)?).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
        libc::AF_INET6 => <[u8; 16]>::try_from(place.get(8..24)?).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_connection_ends_as_the_other_side_decides() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let begun = begin(address, None).unwrap();
        assert_eq!(begun.outcome(Duration::from_secs(5)), Outcome::Connected);
        assert_eq!(begun.own_address(), Some(IpAddr::from([127, 0, 0, 1])));
        drop(listener);
        let refused = Outcome::Failed(Errno(libc::ECONNREFUSED), None);
        assert_eq!(begin(address, Some(2)).unwrap().outcome(Duration::from_secs(5)), refused);
    }

    #[test]
    fn control_messages_are_read_to_their_end() {
        let error = |origin: u8, kind: u8| {
            let mut message = [&48_usize.to_ne_bytes()[..], &0_i32.to_ne_bytes(), &11_i32.to_ne_bytes()].concat();
            message.extend([&113_i32.to_ne_bytes()[..], &[origin, kind, 0, 0], &[0; 8]].concat());
            message.extend([&2_u16.to_ne_bytes()[..], &[0, 0, 10, 0, 0, 1], &[0; 8]].concat());
            message
        };
        let by = Some(IpAddr::from([10, 0, 0, 1]));
        let told = |too_far| Some((Errno(libc::EHOSTUNREACH), Icmp { by, too_far }));
        assert_eq!(message_of(&error(2, 11)), told(true));
        assert_eq!(message_of(&error(2, 3)), told(false));
        // Our own kernel's word, not a message.
        assert_eq!(message_of(&error(1, 0)), None);
        let other = [&20_usize.to_ne_bytes()[..], &1_i32.to_ne_bytes(), &2_i32.to_ne_bytes(), &[0; 8]].concat();
        assert_eq!(message_of(&[other, error(2, 11)].concat()), told(true));
        for end in 0..48 {
            let cut = message_of(&error(2, 11)[..end]);
            assert!(
                cut.is_none_or(|(errno, icmp)| errno == Errno(libc::EHOSTUNREACH)
                    && icmp.by.is_none_or(|address| Some(address) == by)),
                "{end}: {cut:?}"
            );
        }
    }
}
