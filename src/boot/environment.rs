//! COMMAND's environment: what came, byte for byte, without our settings and keys, with the secrets, the proxy's
//! variables in both cases, and the new user's HOME, USER and LOGNAME.

use crate::identity::Identity;
use crate::machine::proxy;
use crate::secrets::Secrets;
use crate::settings::{CheckMode, is_reserved, split_variable, value_of};
use std::ffi::{CStr, CString};
use zeroize::Zeroizing;

/// The finished environment, in memory of its own: what the kernel laid down at the start can be overwritten.
pub struct CommandEnvironment {
    /// Each string with its NUL.
    text: Zeroizing<Vec<u8>>,
}

impl CommandEnvironment {
    /// `NAME=value` strings for COMMAND.
    pub fn variables(&self) -> Vec<&CStr> {
        let strings = self.text.split_inclusive(|&byte| byte == 0);
        strings.filter_map(|string| CStr::from_bytes_with_nul(string).ok()).collect()
    }
}

/// Makes it. `new_user`: whom COMMAND becomes, `None` where it stays who it is and nothing is set. `proxies`: variables
/// that take the place of those of their names. `listens`: LISTEN_PID is left out, COMMAND's own process id comes in
/// its place when it is known.
pub fn build(
    environment: &[&CStr],
    secrets: Secrets,
    new_user: Option<&Identity>,
    proxy_exports: &[CString],
    sets_listen_pid: bool,
) -> CommandEnvironment {
    let mut user_variables = new_user.map_or_else(Vec::new, |user| user_variables(user, environment, &secrets));
    let is_secret =
        |proxy: &&CString| secrets.variables.iter().any(|variable| variable.name == split_variable(proxy.to_bytes()).0);
    user_variables.extend(proxy_exports.iter().filter(|proxy| !is_secret(proxy)).cloned());
    let is_user_variable =
        |name: &[u8]| user_variables.iter().any(|variable| split_variable(variable.to_bytes()).0 == name);
    let secret = |name: &[u8]| secrets.variables.iter().any(|variable| variable.name == name);
    let stays = |variable: &&[u8]| {
        let name = split_variable(variable).0;
        let consumed = secrets.consumed.iter().any(|consumed| consumed == name);
        !(is_reserved(variable)
            || consumed
            || secret(name)
            || is_user_variable(name)
            || (sets_listen_pid && name == b"LISTEN_PID"))
    };
    let inherited =
        environment.iter().map(|variable| variable.to_bytes()).filter(stays).map(|variable| [variable, b"", b""]);
    let new = secrets.variables.iter().filter(|variable| !is_user_variable(&variable.name));
    let new = new.map(|variable| [variable.name.as_slice(), b"=", &variable.value]);
    let of_user = user_variables.iter().map(|variable| [variable.to_bytes(), b"", b""]);
    let strings: Vec<[&[u8]; 3]> = inherited.chain(new).chain(of_user).collect();
    // Room for all at once: what grows leaves its former places behind.
    let length = strings.iter().map(|parts| parts.iter().map(|part| part.len()).sum::<usize>() + 1).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(length));
    for parts in strings {
        parts.iter().for_each(|part| text.extend_from_slice(part));
        text.push(0);
    }
    CommandEnvironment { text }
}

fn user_variables(user: &Identity, environment: &[&CStr], secrets: &Secrets) -> Vec<CString> {
    let variable = |name: &str, value: &[u8]| CString::new([name.as_bytes(), b"=", value].concat()).ok();
    let from_file = secrets.variables.iter().find(|variable| variable.name == b"HOME");
    let home = match from_file.map(|variable| variable.value.as_slice()).or_else(|| value_of(environment, b"HOME")) {
        // Another HOME is the image's decision.
        Some(home) if !home.is_empty() && home != b"/" && Some(home) != user.started_home.as_deref() => None,
        _ => variable("HOME", &user.home),
    };
    [home, variable("USER", &user.name), variable("LOGNAME", &user.name)].into_iter().flatten().collect()
}

/// The variables that COMMAND gets besides, `NAME=value`, each in the place of one of that name that came: both cases
/// of every name that is not set, with the value of its other case, else of HTTPS_PROXY, HTTP_PROXY or ALL_PROXY; and
/// NO_PROXY with the names of loopback. Nothing without a proxy, and with TAKUMI_EGRESS=off. Programs disagree on which
/// of the eight they read (curl takes no HTTP_PROXY, wget no upper case, urllib no ALL_PROXY).
pub fn proxy_exports(environment: &[&CStr], egress: CheckMode) -> Vec<CString> {
    let values = proxy::read_values(environment);
    let families = values.proxies.map(|[lower, upper]| lower.or(upper));
    let Some(any) = families.iter().copied().flatten().next().filter(|_| egress != CheckMode::Off) else {
        return Vec::new();
    };
    let mut exports = Vec::with_capacity(8);
    let mut export = |name: &str, value: &[u8]| {
        // There is no NUL in a variable: none is lost.
        exports.extend(CString::new([name.as_bytes(), b"=", value].concat()).ok());
    };
    for ((names, values), family) in proxy::PROXY_VARIABLES.iter().zip(values.proxies).zip(families) {
        for (name, _) in names.iter().zip(values).filter(|(_, value)| value.is_none()) {
            export(name, family.unwrap_or(any));
        }
    }
    let [lower, upper] = values.no_proxy;
    for (name, (own, other)) in proxy::NO_PROXY_VARIABLES.iter().zip([(lower, upper), (upper, lower)]) {
        let value = proxy::with_loopback(own.or(other).unwrap_or_default());
        if own != Some(&value) {
            export(name, &value);
        }
    }
    exports
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Variable;
    use crate::sys::credentials::Credentials;
    use crate::sys::{GroupId, UserId};

    fn app() -> Identity {
        Identity {
            ids: Credentials { user: UserId(1000), group: GroupId(1000), groups: vec![] },
            name: b"app".to_vec(),
            home: b"/home/app".to_vec(),
            started_home: Some(b"/root".to_vec()),
        }
    }

    fn made(variables: &[&CStr], user: Option<&Identity>, listens: bool) -> Vec<String> {
        made_with(Secrets::default(), variables, user, listens)
    }

    fn made_with(secrets: Secrets, variables: &[&CStr], user: Option<&Identity>, listens: bool) -> Vec<String> {
        let environment = build(variables, secrets, user, &[], listens);
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
    fn a_proxys_variable_takes_the_place_of_its_name() {
        let proxies = [c"NO_PROXY=a,localhost".to_owned(), c"http_proxy=http://p:1".to_owned()];
        let environment = build(&[c"NO_PROXY=a", c"B=1"], Secrets::default(), None, &proxies, false);
        assert_eq!(environment.variables(), [c"B=1", c"NO_PROXY=a,localhost", c"http_proxy=http://p:1"]);
    }

    #[test]
    fn listen_pid_is_left_to_the_child() {
        let variables = [c"LISTEN_PID=1", c"LISTEN_FDS=2"];
        assert_eq!(made(&variables, None, true), ["LISTEN_FDS=2"]);
        assert_eq!(made(&variables, None, false), ["LISTEN_PID=1", "LISTEN_FDS=2"]);
    }

    #[test]
    fn secrets_come_in_and_the_names_of_their_files_go() {
        let variable = |name: &str, value: &str| Variable {
            name: name.as_bytes().to_vec(),
            value: Zeroizing::new(value.as_bytes().to_vec()),
        };
        let secrets = Secrets {
            variables: vec![variable("TOKEN", "a=b"), variable("HOME", "/data"), variable("USER", "x")],
            consumed: vec![b"TOKEN_FILE".to_vec()],
        };
        let inherited = [c"A=1", c"TOKEN=", c"TOKEN_FILE=/run/secrets/token", c"DOTENV_PRIVATE_KEY=00", c"HOME=/root"];
        assert_eq!(
            made_with(secrets, &inherited, Some(&app()), false),
            ["A=1", "TOKEN=a=b", "HOME=/data", "USER=app", "LOGNAME=app"]
        );
    }

    fn exported(variables: &[&CStr]) -> Vec<String> {
        let mut exports: Vec<String> = proxy_exports(variables, CheckMode::Auto)
            .iter()
            .map(|variable| variable.to_str().unwrap().into())
            .collect();
        exports.sort_unstable();
        exports
    }

    #[test]
    fn both_cases_of_every_name_reach_command() {
        let expected = [
            "ALL_PROXY=http://p:1", "HTTPS_PROXY=http://p:1", "HTTP_PROXY=http://p:1",
            "NO_PROXY=localhost,127.0.0.1,::1", "all_proxy=http://p:1", "http_proxy=http://p:1",
            "https_proxy=http://p:1", "no_proxy=localhost,127.0.0.1,::1",
        ];
        for name in proxy::PROXY_VARIABLES.as_flattened() {
            let variable = CString::new(format!("{name}=http://p:1")).unwrap();
            let others: Vec<&str> =
                expected.into_iter().filter(|line| !line.starts_with(&format!("{name}="))).collect();
            assert_eq!(exported(&[&variable]), others, "{name}");
        }
    }

    #[test]
    fn what_is_set_stays_byte_for_byte() {
        let came =
            [c"HTTP_PROXY=http://\xffa ", c"https_proxy=http://b", c"all_proxy=", c"NO_PROXY=.internal, LOCALHOST"];
        let mut exports = proxy_exports(&came, CheckMode::Require);
        exports.sort_unstable();
        let expected = [
            c"ALL_PROXY=http://b",
            c"HTTPS_PROXY=http://b",
            c"NO_PROXY=.internal, LOCALHOST,127.0.0.1,::1",
            c"all_proxy=http://b",
            c"http_proxy=http://\xffa ",
            c"no_proxy=.internal, LOCALHOST,127.0.0.1,::1",
        ];
        assert_eq!(exports, expected.map(CStr::to_owned));
        // Each of the two keeps what it says.
        let both = exported(&[c"ALL_PROXY=http://a", c"NO_PROXY=::1,localhost,127.0.0.1", c"no_proxy=x"]);
        assert!(both.contains(&"no_proxy=x,localhost,127.0.0.1,::1".to_string()), "{both:?}");
        assert!(!both.iter().any(|line| line.starts_with("NO_PROXY=")), "{both:?}");
        // `*` among others is a host of that name for requests: nothing is to be won by adding to it.
        assert!(
            !exported(&[c"ALL_PROXY=http://a", c"NO_PROXY=*", c"no_proxy=*"]).iter().any(|line| line.contains("::1"))
        );
    }

    #[test]
    fn nothing_is_exported_without_a_proxy_or_when_told_not_to() {
        assert_eq!(exported(&[c"A=1", c"NO_PROXY=x", c"HTTP_PROXY=", c"FTP_PROXY=http://a"]), [""; 0]);
        assert!(proxy_exports(&[c"HTTP_PROXY=http://a"], CheckMode::Off).is_empty());
    }
}
