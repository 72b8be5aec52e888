//! Whom to become: the setting, /etc/passwd and /etc/group, and the user namespace, brought together into one
//! [`Identity`].

pub mod passwd;
pub mod resolve;
mod started_as;

use crate::sys::credentials::Credentials;
pub use started_as::StartedAs;

/// A user that was resolved and may be the target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Its numbers. The primary group is among the supplementary ones: files that deny a group are then denied to it
    /// too, whatever group a child makes its own (CVE-2022-36109).
    pub ids: Credentials,
    /// The user's name, or its id where /etc/passwd has none.
    pub name: Vec<u8>,
    /// Its home, `/` where /etc/passwd has none.
    pub home: Vec<u8>,
    /// The home of whom `init` was started as: a HOME of that value is not the image's choice.
    pub started_home: Option<Vec<u8>>,
}
