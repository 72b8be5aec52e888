//! The host's driver, as /proc shows it: which numbers it took for its devices, which version it is, which modes it
//! gives.

use super::below_root;
use crate::sys::{Errno, io};
use std::cmp::Ordering;
use std::fmt;

/// What is seen of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Driver {
    /// /proc/devices.
    pub majors: Result<Majors, Errno>,
    /// Of NVIDIA's kernel driver; `None`: /proc/driver/nvidia/version is not there or names none.
    pub version: Option<Version>,
    /// The mode that NVIDIA's driver wants its nodes to have.
    pub mode: Option<u32>,
}

impl Driver {
    pub(super) fn unknown() -> Self {
        Driver { majors: Err(Errno(libc::ENODATA)), version: None, mode: None }
    }

    pub(super) fn observe(root: &str) -> Self {
        let mut buffer = [0; 4096];
        let majors = io::read_into(&below_root(root, "/proc/devices"), &mut buffer).map(Majors::parse);
        let version = io::read_into(&below_root(root, "/proc/driver/nvidia/version"), &mut buffer)
            .ok()
            .and_then(kernel_module_version);
        let params = io::read_into(&below_root(root, "/proc/driver/nvidia/params"), &mut buffer).unwrap_or_default();
        Driver { majors, version, mode: parse_parameter(params, "DeviceFileMode") }
    }
}

/// Names of drivers and the majors that they took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Majors(Vec<(u32, String)>);

impl Majors {
    /// Reads the character devices of /proc/devices (`man 5 proc`).
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let lines = text.lines().skip_while(|line| !line.starts_with("Character")).skip(1);
        let of_line = |line: &str| {
            let (number, name) = line.trim().split_once(' ')?;
            Some((number.parse().ok()?, name.trim().to_string()))
        };
        Majors(lines.take_while(|line| !line.trim().is_empty()).filter_map(of_line).collect())
    }

    /// The majors of the drivers of these names.
    pub fn majors_of<'a>(&'a self, drivers: &'a [&str]) -> impl Iterator<Item = u32> + 'a {
        self.0.iter().filter(|(_, name)| drivers.contains(&name.as_str())).map(|(major, _)| *major)
    }
}

/// A driver's version, `550.54.14`. Compared by its numbers.
#[derive(Clone, Debug)]
pub struct Version {
    text: String,
    numbers: Vec<u32>,
}

impl Version {
    /// Reads two to four numbers with dots between them, the first with three digits as those of NVIDIA's drivers
    /// (`1.1` is the libcuda of WSL and Jetson, which has no version in its name).
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('.').collect();
        let is_number = |part: &str| (1..=5).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if !(2..=4).contains(&parts.len()) || !parts.iter().copied().all(is_number) || parts[0].len() < 3 {
            return None;
        }
        let numbers = parts.iter().map(|part| part.parse().ok()).collect::<Option<_>>()?;
        Some(Version { text: text.to_string(), numbers })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.numbers == other.numbers
    }
}
impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.numbers.cmp(&other.numbers))
    }
}

/// The first version in the first line of /proc/driver/nvidia/version.
fn kernel_module_version(text: &[u8]) -> Option<Version> {
    let text = String::from_utf8_lossy(text);
    text.lines().find(|line| line.starts_with("NVRM version:"))?.split_whitespace().find_map(Version::parse)
}

/// One line `Name: number` of /proc/driver/nvidia/params.
fn parse_parameter(text: &[u8], wanted: &str) -> Option<u32> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| *name == wanted)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made from documentation: no host with this driver was at hand.
    const DEVICES: &[u8] =
        b"Character devices:\n  1 mem\n 10 misc\n195 nvidia\n195 nvidiactl\n226 drm\n235 nvidia-caps\n\
        511 nvidia-uvm\n\nBlock devices:\n  7 loop\n195 nvidia-block\n";
    /// As older drivers register.
    const OLD: &[u8] = b"Character devices:\n195 nvidia-frontend\n510 nvidia-uvm\n";

    #[test]
    fn the_majors_of_drivers_are_read() {
        let of = |text, drivers: &[&str]| Majors::parse(text).majors_of(drivers).collect::<Vec<_>>();
        assert_eq!(of(DEVICES, &["nvidia-uvm"]), [511]);
        assert_eq!(of(DEVICES, &["nvidia", "nvidia-frontend"]), [195]);
        assert_eq!(of(OLD, &["nvidia", "nvidia-frontend"]), [195]);
        assert_eq!(of(DEVICES, &["nvidia-block", "kfd"]), [0; 0], "block devices are none of these");
        assert_eq!(Majors::parse(b"\xff\nrubbish"), Majors(vec![]));
        let here = std::fs::read("/proc/devices").unwrap();
        assert_eq!(Majors::parse(&here).majors_of(&["misc"]).collect::<Vec<_>>(), [10]);
    }

    #[test]
    fn the_kernels_version_is_read_from_either_flavour() {
        for (text, version) in [
            (
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\n\
                 GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)\n",
                Some("550.54.14"),
            ),
            (
                "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder)\n",
                Some("570.86.15"),
            ),
            ("NVRM version: NVIDIA UNIX aarch64 Kernel Module  470.256.02  x\n", Some("470.256.02")),
            ("GCC version:  gcc version 12.3.0\n", None),
            ("", None),
        ] {
            let read = kernel_module_version(text.as_bytes());
            assert_eq!(read.map(|version| version.to_string()).as_deref(), version, "{text}");
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        let of = |text| Version::parse(text).unwrap();
        assert!(of("550.54.14") < of("550.127.05") && of("535.288.01") < of("550.0"));
        assert_eq!(of("470.256.02"), of("470.256.2"));
        for text in ["1.1", "550", "550.", "x86_64", "12.3.0-1", "550.54.14.1.1", "550.123456", ""] {
            assert!(Version::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_parameter_is_read_by_its_whole_name() {
        let text = b"ModifyDeviceFiles: 1\nDeviceFileUID: 0\nDeviceFileGID: 44\nDeviceFileMode: 432\n";
        assert_eq!(parse_parameter(text, "DeviceFileMode"), Some(0o660));
        assert_eq!(parse_parameter(text, "DeviceFile"), None);
        assert_eq!(parse_parameter(b"", "DeviceFileMode"), None);
    }
}
