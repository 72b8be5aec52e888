//! Subnets that nobody uses, for tests whose addresses matter: where none does, the engine chooses.

use crate::engine::{ask, engine};
use std::fmt;
use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

/// A subnet that no network of the engine and no route of this machine has, nor any other test until the value goes.
pub struct Subnet {
    first: u32,
    bits: u32,
    _reserved: UnixListener,
}

impl Subnet {
    /// 256 addresses of a private network.
    #[track_caller]
    pub fn private() -> Subnet {
        Subnet::of((0..=255).map(|number| Ipv4Addr::new(10, 181, number, 0)).collect(), 8)
    }

    /// 16 addresses of networks that are kept for documentation: they look like the internet's, and nobody routes them.
    #[track_caller]
    pub fn public() -> Subnet {
        let blocks = [[203, 0, 113], [198, 51, 100]];
        let places = (0..16).flat_map(|number| blocks.map(|[a, b, c]| Ipv4Addr::new(a, b, c, number * 16)));
        Subnet::of(places.collect(), 4)
    }

    #[track_caller]
    fn of(places: Vec<Ipv4Addr>, bits: u32) -> Subnet {
        // Each process begins elsewhere, so that two seldom ask for the same.
        let begin = std::process::id() as usize % places.len();
        let mut in_turn = places[begin..].iter().chain(&places[..begin]);
        let free = in_turn.find_map(|place| Subnet::reserve(*place, bits));
        free.unwrap_or_else(|| panic!("each of {places:?} is in use"))
    }

    /// Reserved before it is looked at: whoever had it until now gives it back after its network is gone.
    fn reserve(place: Ipv4Addr, bits: u32) -> Option<Subnet> {
        // A name that the kernel frees with its process, even where that is killed.
        let name = SocketAddr::from_abstract_name(format!("takumi-test-subnet-{place}")).unwrap();
        let subnet = Subnet { first: place.into(), bits, _reserved: UnixListener::bind_addr(&name).ok()? };
        let end = subnet.first + (1 << bits);
        let in_use = of_the_engine().into_iter().chain(routes());
        let overlaps = |(first, size): (u32, u64)| {
            u64::from(first) < u64::from(end) && u64::from(subnet.first) < u64::from(first) + size
        };
        let is_free = !in_use.into_iter().any(overlaps);
        is_free.then_some(subnet)
    }

    /// The address of this number in it. 1 is the engine's own.
    pub fn address(&self, number: u32) -> Ipv4Addr {
        assert!(number < 1 << self.bits, "{number} is beyond {self}");
        (self.first + number).into()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "{}/{}", Ipv4Addr::from(self.first), 32 - self.bits)
    }
}

/// First addresses and sizes of what the engine's networks have. Some have no route.
fn of_the_engine() -> Vec<(u32, u64)> {
    let names = ask(&["network", "ls", "--format", "{{.Name}}"]);
    let form = "{{range .IPAM.Config}}{{.Subnet}} {{end}}";
    // One may go meanwhile; the rest is printed all the same.
    let output = engine(&["network", "inspect", "--format", form]).args(names.lines()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.split_whitespace().filter_map(block).collect()
}

fn block(subnet: &str) -> Option<(u32, u64)> {
    let (first, ones) = subnet.split_once('/')?;
    let first: Ipv4Addr = first.parse().ok()?;
    Some((first.into(), 1 << 32u32.checked_sub(ones.parse().ok()?)?))
}

/// The same of this machine's routes; the default route leads everywhere and is nobody's network.
fn routes() -> Vec<(u32, u64)> {
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    table.lines().skip(1).filter_map(route).filter(|(_, size)| *size <= 1 << 24).collect()
}

/// A line of the kernel's table, whose numbers are in its own byte order.
fn route(line: &str) -> Option<(u32, u64)> {
    let number = |word: &str| Some(u32::from_be(u32::from_str_radix(word, 16).ok()?));
    let words: Vec<&str> = line.split_whitespace().collect();
    Some((number(words.get(1)?)?, 1 << number(words.get(7)?)?.count_zeros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_routes_are_read_as_their_first_address_and_size() {
        let first = u32::from(Ipv4Addr::new(172, 17, 0, 0));
        assert_eq!(block("172.17.0.0/16"), Some((first, 1 << 16)));
        assert_eq!(block("fd00::/64"), None);
        assert_eq!(route("docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0"), Some((first, 1 << 16)));
        assert_eq!(route("eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0"), Some((0, 1 << 32)));
    }

    #[test]
    fn a_subnet_has_its_addresses() {
        let name = SocketAddr::from_abstract_name(crate::folder::fresh_name("subnet")).unwrap();
        let first = Ipv4Addr::new(203, 0, 113, 64).into();
        let subnet = Subnet { first, bits: 4, _reserved: UnixListener::bind_addr(&name).unwrap() };
        assert_eq!(subnet.to_string(), "203.0.113.64/28");
        assert_eq!(subnet.address(2), Ipv4Addr::new(203, 0, 113, 66));
    }
}
