//! TCP connections that are begun without waiting, and asked afterwards what became of them.

use super::{Errno, descriptor, io};
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SetSockOpt, SockFlag, SockProtocol, SockType, SockaddrStorage,
    connect, recvmsg, socket, sockopt,
};
use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// One that was begun. Dropping it gives it up.
pub struct PendingConnection {
    socket: TcpStream,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectOutcome {
    /// Nobody has answered yet.
    Silent,
    Connected,
    /// It failed. With an ICMP message where one was the reason and the kernel tells (Linux 5.9 and newer); without one
    /// the address itself answered.
    Failed(Errno, Option<Icmp>),
}

/// An ICMP message about a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Icmp {
    pub sender: Option<IpAddr>,
    /// It says that the packet had been on its way for more hops than it was allowed.
    pub time_exceeded: bool,
}

/// Begins to connect. `hops`: how many routers may pass the packets on. Errors: what the kernel says at once (no route,
/// no permission).
pub fn connect_nonblocking(address: SocketAddr, hops: Option<u8>) -> Result<PendingConnection, Errno> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = descriptor::reject_stdio(socket(family, SockType::Stream, flags, SockProtocol::Tcp)?)?;
    // A sandbox that lacks it says less afterwards, not something else.
    let _ = match address {
        SocketAddr::V4(_) => sockopt::Ipv4RecvErr.set(&socket, &true),
        SocketAddr::V6(_) => sockopt::Ipv6RecvErr.set(&socket, &true),
    };
    if let Some(hops) = hops.map(i32::from) {
        match address {
            SocketAddr::V4(_) => sockopt::Ipv4Ttl.set(&socket, &hops)?,
            SocketAddr::V6(_) => sockopt::Ipv6Ttl.set(&socket, &hops)?,
        }
    }
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(address)).map_err(Errno::from) {
        Ok(()) | Err(Errno(libc::EINPROGRESS | libc::EINTR)) => Ok(PendingConnection { socket: socket.into() }),
        Err(errno) => Err(errno),
    }
}

impl PendingConnection {
    /// Waits at most that long for an end.
    pub fn outcome(&self, timeout: Duration) -> ConnectOutcome {
        let events = match io::poll(self.socket.as_fd(), PollFlags::POLLOUT, timeout.min(MAX_TIMEOUT)) {
            Ok(events) if !events.is_empty() => events,
            // A signal: no answer so far, which is the careful side of an early end.
            Ok(_) | Err(Errno(libc::EINTR)) => return ConnectOutcome::Silent,
            Err(errno) => return ConnectOutcome::Failed(errno, None),
        };
        // Before the queue is read: reading it clears this one.
        let error = self.socket.take_error();
        let queued = self.queued_error();
        match (error, queued) {
            (Ok(None), Some((errno, icmp))) => ConnectOutcome::Failed(errno, Some(icmp)),
            // There is an error, and whoever was asked for it is not the kernel.
            (Ok(None), None) if events.contains(PollFlags::POLLERR) => {
                ConnectOutcome::Failed(Errno(libc::EPROTO), None)
            }
            (Ok(None), None) if events.contains(PollFlags::POLLOUT) => ConnectOutcome::Connected,
            (Ok(None), None) => ConnectOutcome::Silent,
            (Ok(Some(error)), queued) => ConnectOutcome::Failed(error.into(), queued.map(|(_, icmp)| icmp)),
            (Err(error), _) => ConnectOutcome::Failed(error.into(), None),
        }
    }

    /// The address that the connection begins at.
    pub fn local_address(&self) -> Option<IpAddr> {
        self.socket.local_addr().ok().map(|address| address.ip())
    }

    /// The first message of the error queue (`man 7 ip`, IP_RECVERR).
    fn queued_error(&self) -> Option<(Errno, Icmp)> {
        let mut content = [0; 256];
        let mut parts = [IoSliceMut::new(&mut content)];
        let mut control = nix::cmsg_space!([u8; 240]);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
        // The kernel says where it comes from; without that nobody has filled what would be read.
        if !message.flags.contains(MsgFlags::MSG_ERRQUEUE) {
            return None;
        }
        message.cmsgs().ok()?.find_map(|message| {
            let (error, by) = match message {
                ControlMessageOwned::Ipv4RecvErr(error, by) => (error, by.map(ipv4)),
                ControlMessageOwned::Ipv6RecvErr(error, by) => (error, by.map(ipv6)),
                _ => return None,
            };
            // "Time exceeded" is type 11 of ICMP (RFC 792) and type 3 of ICMPv6 (RFC 4443).
            let time_exceeded = match error.ee_origin {
                libc::SO_EE_ORIGIN_ICMP => 11,
                libc::SO_EE_ORIGIN_ICMP6 => 3,
                _ => return None,
            };
            Some((Errno(error.ee_errno as i32), Icmp { sender: by, time_exceeded: error.ee_type == time_exceeded }))
        })
    }
}

const MAX_TIMEOUT: Duration = Duration::from_secs(60);

fn ipv4(address: libc::sockaddr_in) -> IpAddr {
    Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes()).into()
}

fn ipv6(address: libc::sockaddr_in6) -> IpAddr {
    Ipv6Addr::from(address.sin6_addr.s6_addr).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_connection_ends_as_the_other_side_decides() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let begun = connect_nonblocking(address, None).unwrap();
        assert_eq!(begun.outcome(Duration::from_secs(5)), ConnectOutcome::Connected);
        assert_eq!(begun.local_address(), Some(IpAddr::from([127, 0, 0, 1])));
        drop(listener);
        let refused = ConnectOutcome::Failed(Errno(libc::ECONNREFUSED), None);
        assert_eq!(connect_nonblocking(address, Some(2)).unwrap().outcome(Duration::from_secs(5)), refused);
    }
}
