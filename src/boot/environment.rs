//! COMMAND's environment: what came, byte for byte, without our settings, and with the new user's HOME, USER and LOGNAME.

use crate::identity::Identity;
use crate::settings::{is_ours, name_and_value, value_of};
use std::ffi::{CStr, CString};

/// The finished environment; what is new in it is owned here.
pub struct Environment<'a> {
    kept: Vec<&'a CStr>,
    added: Vec<CString>,
}

impl Environment<'_> {
    /// `NAME=value` strings for COMMAND.
    pub fn variables(&self) -> Vec<&CStr> {
        self.kept.iter().copied().chain(self.added.iter().map(CString::as_c_str)).collect()
    }
}

/// Makes it. `new_user`: whom COMMAND becomes, `None` where it stays who it is and nothing is set. `listens`: LISTEN_PID is left
/// out, COMMAND's own process id comes in its place when it is known.
pub fn for_command<'a>(environment: &[&'a CStr], new_user: Option<&Identity>, listens: bool) -> Environment<'a> {
    let added = new_user.map_or_else(Vec::new, |user| variables_of(user, environment));
    let is_added = |name: &[u8]| added.iter().any(|variable| name_and_value(variable.to_bytes()).0 == name);
    let stays = |variable: &&&CStr| {
        let name = name_and_value(variable.to_bytes()).0;
        !(is_ours(variable.to_bytes()) || is_added(name) || (listens && name == b"LISTEN_PID"))
    };
    Environment { kept: environment.iter().filter(stays).copied().collect(), added }
}

fn variables_of(user: &Identity, environment: &[&CStr]) -> Vec<CString> {
    let variable = |name: &str, value: &[u8]| CString::new([name.as_bytes(), b"=", value].concat()).ok();
    let home = match value_of(environment, b"HOME") {
        // Another HOME is the image's decision.
        Some(home) if !home.is_empty() && home != b"/" && Some(home) != user.started_home.as_deref() => None,
        _ => variable("HOME", &user.home),
    };
    [home, variable("USER", &user.name), variable("LOGNAME", &user.name)].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{GroupId, UserId};

    fn app() -> Identity {
        Identity {
            user: UserId(1000),
            group: GroupId(1000),
            groups: vec![],
            name: b"app".to_vec(),
            home: b"/home/app".to_vec(),
            started_home: Some(b"/root".to_vec()),
        }
    }

    fn made(variables: &[&CStr], user: Option<&Identity>, listens: bool) -> Vec<String> {
        let environment = for_command(variables, user, listens);
        environment.variables().iter().map(|variable| variable.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn home_is_set_unless_the_image_chose_another() {
        let (set, kept) = (["HOME=/home/app", "USER=app", "LOGNAME=app"], ["HOME=/cache", "USER=app", "LOGNAME=app"]);
        for variables in [&[][..], &[c"HOME=/"], &[c"HOME=/root", c"USER=root", c"LOGNAME=root"], &[c"HOME="]] {
            assert_eq!(made(variables, Some(&app()), false), set, "{variables:?}");
        }
        assert_eq!(made(&[c"HOME=/cache"], Some(&app()), false), kept);
    }

    #[test]
    fn an_ordinary_start_changes_nothing_but_our_settings() {
        let variables = [c"HOME=/", c"PUID=1000", c"USER=x", c"odd", c"TAKUMI_LOG=warn", c"A=\xff", c"A=2"];
        assert_eq!(made(&variables, None, false), ["HOME=/", "USER=x", "odd", "TAKUMI_LOG=warn", "A=\u{fffd}", "A=2"]);
    }

    #[test]
    fn listen_pid_is_left_to_the_child() {
        let variables = [c"LISTEN_PID=1", c"LISTEN_FDS=2"];
        assert_eq!(made(&variables, None, true), ["LISTEN_FDS=2"]);
        assert_eq!(made(&variables, None, false), ["LISTEN_PID=1", "LISTEN_FDS=2"]);
    }
}
