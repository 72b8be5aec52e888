//! Numbers of the kernel that must not be mixed up.

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

macro_rules! shown_as_its_number {
    ($($newtype:ty),*) => {$(
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
    )*};
}
shown_as_its_number!(UserId, GroupId, ProcessId);
