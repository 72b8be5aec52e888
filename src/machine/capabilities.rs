//! The capabilities that a start needs, by name.

use crate::sys::credentials::CapabilityBits;
use std::fmt;

macro_rules! capabilities {
    ($($name:ident = $number:expr),* $(,)?) => {
        $(#[doc = concat!("CAP_", stringify!($name))] pub const $name: CapabilityBits = 1 << $number;)*
        const KNOWN: &[(CapabilityBits, &str)] = &[$(($name, stringify!($name))),*];
    };
}
capabilities!(CHOWN = 0, DAC_READ_SEARCH = 2, FOWNER = 3, SETGID = 6, SETUID = 7, SETPCAP = 8);

fn known_names(bits: CapabilityBits) -> impl Iterator<Item = &'static str> {
    KNOWN.iter().filter(move |(bit, _)| bits & bit != 0).map(|&(_, name)| name)
}

/// `CAP_SETUID and CAP_SETGID`
pub struct CapabilityNames(pub CapabilityBits);

impl fmt::Display for CapabilityNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in known_names(self.0).enumerate() {
            write!(f, "{}CAP_{name}", if index > 0 { " and " } else { "" })?;
        }
        Ok(())
    }
}

/// `--cap-add SETUID --cap-add SETGID`
pub struct CapAddFlags(pub CapabilityBits);

impl fmt::Display for CapAddFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in known_names(self.0).enumerate() {
            write!(f, "{}--cap-add {name}", if index > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_as_it_is_typed() {
        assert_eq!(CapabilityNames(SETUID | SETPCAP).to_string(), "CAP_SETUID and CAP_SETPCAP");
        assert_eq!(CapAddFlags(SETGID).to_string(), "--cap-add SETGID");
    }
}
