//! Numbers of the kernel that must not be mixed up.

use nix::unistd::{Gid, Pid, Uid};
use std::fmt;

/// A user id. `u32::MAX` is never one: the kernel reads it as "leave as it is".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);

/// A group id. `u32::MAX` is never one: the kernel reads it as "leave as it is".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// A process id, as this pid namespace counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub i32);

macro_rules! id_newtypes {
    ($($newtype:ident: $of_nix:ident),*) => {$(
        impl fmt::Debug for $newtype {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Display for $newtype {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$newtype> for $of_nix {
            fn from(id: $newtype) -> Self {
                $of_nix::from_raw(id.0)
            }
        }

        impl From<$of_nix> for $newtype {
            fn from(id: $of_nix) -> Self {
                $newtype(id.as_raw())
            }
        }
    )*};
}
id_newtypes!(UserId: Uid, GroupId: Gid, ProcessId: Pid);
