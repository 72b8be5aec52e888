//! From settings to an identity. Pure: the files' contents and the user namespace come in, an [`Identity`] or a refusal
//! goes out.

use super::Identity;
use super::passwd::{self, PasswdEntry};
use crate::machine::user_namespace::{IdMap, OVERFLOW_ID, UserNamespace};
use crate::problem::Problem;
use crate::settings::{AccountRef, Settings};
use crate::sys::credentials::{Credentials, sorted};
use crate::sys::{GroupId, UserId};
use crate::text::Escaped;
use std::fmt;

/// What the names and numbers are looked up in.
pub struct AccountSources<'a> {
    /// /etc/passwd, empty where there is none.
    pub passwd: &'a [u8],
    /// /etc/group, empty where there is none.
    pub group: &'a [u8],
    /// The user namespace; `None` where /proc does not show it.
    pub namespace: Option<&'a UserNamespace>,
    /// Groups that open the nodes of a GPU here; for TAKUMI_GROUPS=auto.
    pub device_groups: &'a [GroupId],
}

/// Why nobody can be named.
#[derive(PartialEq, Eq, Debug)]
pub enum Error {
    UnknownUser(Vec<u8>),
    UnknownGroup(&'static str, Vec<u8>),
    Root(&'static str, &'static str),
    Unmapped { what: &'static str, id: u32, map: String },
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::UnknownUser(name) => Problem::new(
                format!("cannot use TAKUMI_USER: no user \"{}\" in /etc/passwd", Escaped(&name)),
                "name a uid, or add the user to the image",
            ),
            Error::UnknownGroup(setting, name) => Problem::new(
                format!("cannot use {setting}: no group \"{}\" in /etc/group", Escaped(&name)),
                "name a gid, or add the group to the image",
            ),
            Error::Root(what, setting) => Problem::new(
                format!("refusing to run COMMAND as {what} 0, root"),
                format!("set {setting} to another id, or TAKUMI_ALLOW_ROOT=yes (COMMAND still gets no capability)"),
            ),
            Error::Unmapped { what, id, map } => Problem::new(
                format!("cannot run as {what} {id}: this user namespace maps only {map}"),
                format!("choose a mapped id (never the overflow id), or widen the range in /etc/sub{what}"),
            ),
        }
    }
}

/// The default of PUID.
const DEFAULT_USER: u32 = 1000;

/// Resolves the target of a start as root.
pub fn resolve(settings: &Settings, sources: &AccountSources) -> Result<Identity, Error> {
    let user = match settings.user.as_ref().map(|spec| &spec.user) {
        Some(user) => find_user(user, sources)?,
        None => find_user(&AccountRef::Id(settings.puid.unwrap_or(DEFAULT_USER)), sources)?,
    };
    let named_group = settings.user.as_ref().and_then(|spec| spec.group.as_ref());
    let group = match (named_group, &settings.user, settings.pgid) {
        (Some(group), ..) => find_group("TAKUMI_USER", group, sources)?,
        (None, None, Some(group)) => group,
        (None, ..) => user.group.unwrap_or(user.id),
    };
    refuse_root(settings, sources, user.id, group)?;
    if let Some(namespace) = sources.namespace {
        refuse_unmapped("uid", user.id, &namespace.users)?;
        refuse_unmapped("gid", group, &namespace.groups)?;
    }
    let groups = supplementary_groups(settings, sources, &user, group, named_group.is_some())?;
    let started_home = passwd::parse_users(sources.passwd).find(|user| user.id == 0).map(|user| user.home.to_vec());
    let ids = Credentials { user: UserId(user.id), group: GroupId(group), groups };
    Ok(Identity { ids, name: user.name, home: user.home, started_home })
}

/// Whom the settings name, where that is not who runs already. For a start as an ordinary user: the defaults name
/// nobody.
pub fn conflicting_identity(
    settings: &Settings,
    sources: &AccountSources,
    user: UserId,
    group: GroupId,
) -> Result<Option<String>, Error> {
    let wanted_user = match &settings.user {
        Some(spec) => Some(find_user(&spec.user, sources)?.id),
        None => settings.puid,
    };
    let wanted_group = match &settings.user {
        Some(spec) => spec.group.as_ref().map(|group| find_group("TAKUMI_USER", group, sources)).transpose()?,
        None => settings.pgid,
    };
    Ok(match (wanted_user, wanted_group, requested_groups(settings, sources)?) {
        (Some(wanted), ..) if wanted != user.0 => Some(format!("uid {wanted}")),
        (_, Some(wanted), _) if wanted != group.0 => Some(format!("gid {wanted}")),
        (.., Some(_)) => Some("a member of TAKUMI_GROUPS".to_string()),
        _ => None,
    })
}

/// TAKUMI_GROUPS as numbers; `None` for auto.
pub fn requested_groups(settings: &Settings, sources: &AccountSources) -> Result<Option<Vec<GroupId>>, Error> {
    let Some(wanted) = &settings.groups else { return Ok(None) };
    wanted
        .iter()
        .map(|group| find_group("TAKUMI_GROUPS", group, sources).map(GroupId))
        .collect::<Result<_, _>>()
        .map(Some)
}

struct Account {
    id: u32,
    group: Option<u32>,
    name: Vec<u8>,
    home: Vec<u8>,
}

fn find_user(wanted: &AccountRef, sources: &AccountSources) -> Result<Account, Error> {
    let is_wanted = |user: &PasswdEntry| match wanted {
        AccountRef::Name(name) => user.name == &name[..],
        AccountRef::Id(id) => user.id == *id,
    };
    match (passwd::parse_users(sources.passwd).find(is_wanted), wanted) {
        (Some(user), _) => {
            let home = if user.home.is_empty() { b"/" } else { user.home };
            Ok(Account { id: user.id, group: Some(user.group), name: user.name.to_vec(), home: home.to_vec() })
        }
        (None, AccountRef::Id(id)) => {
            Ok(Account { id: *id, group: None, name: id.to_string().into_bytes(), home: b"/".to_vec() })
        }
        (None, AccountRef::Name(name)) => Err(Error::UnknownUser(name.clone())),
    }
}

fn find_group(setting: &'static str, wanted: &AccountRef, sources: &AccountSources) -> Result<u32, Error> {
    match wanted {
        AccountRef::Id(id) => Ok(*id),
        AccountRef::Name(name) => {
            let group = passwd::parse_groups(sources.group).find(|group| group.name == &name[..]);
            group.map(|group| group.id).ok_or_else(|| Error::UnknownGroup(setting, name.clone()))
        }
    }
}

fn refuse_root(settings: &Settings, sources: &AccountSources, user: u32, group: u32) -> Result<(), Error> {
    // Judged by the map, not by the number: under rootless engines 0 is an ordinary user of the host.
    if settings.allow_root || sources.namespace.is_some_and(UserNamespace::is_root_remapped) {
        return Ok(());
    }
    let by_user = settings.user.is_some();
    match (user, group) {
        (0, _) => Err(Error::Root("uid", if by_user { "TAKUMI_USER" } else { "PUID" })),
        (_, 0) => Err(Error::Root("gid", if by_user { "TAKUMI_USER=user:group" } else { "PGID" })),
        _ => Ok(()),
    }
}

fn refuse_unmapped(what: &'static str, id: u32, map: &IdMap) -> Result<(), Error> {
    match map.outside(id) {
        Some(_) => Ok(()),
        None => Err(Error::Unmapped { what, id, map: map.to_string() }),
    }
}

fn supplementary_groups(
    settings: &Settings,
    sources: &AccountSources,
    user: &Account,
    group: u32,
    group_named: bool,
) -> Result<Vec<GroupId>, Error> {
    let mut groups = match requested_groups(settings, sources)? {
        Some(groups) => groups,
        None => {
            // A user whose group is named is in no other (`docker run --user`), but a GPU is to be opened all the same.
            let of_user =
                passwd::parse_groups(sources.group).filter(|group| !group_named && group.has_member(&user.name));
            // Nodes whose group is not mapped show this one, also where /proc does not tell the map.
            let of_devices = sources.device_groups.iter().copied().filter(|&group| group != GroupId(OVERFLOW_ID));
            of_user.map(|group| GroupId(group.id)).chain(of_devices).collect()
        }
    };
    let explicit = settings.groups.is_some();
    if let Some(namespace) = sources.namespace {
        if explicit {
            for group in &groups {
                refuse_unmapped("gid", group.0, &namespace.groups)?;
            }
        }
        groups.retain(|group| *group != namespace.overflow_group && namespace.groups.outside(group.0).is_some());
    }
    groups.retain(|&group| group != GroupId(0));
    groups.push(GroupId(group));
    Ok(sorted(groups))
}

impl fmt::Display for Identity {
    /// `uid 1000 (app), gid 1000, groups 44, 1000`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "uid {} ({}), gid {}, groups {}",
            self.ids.user,
            Escaped(&self.name),
            self.ids.group,
            crate::text::List(&self.ids.groups)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;

    const PASSWD: &[u8] =
        b"root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nops:x:37:0::/:\nhomeless:x:50:50:::\n";
    const GROUP: &[u8] = b"root:x:0:app\nvideo:x:44:app\nrender:x:105:app,other\nnogroup:x:65534:app\n";

    fn settings(variables: &[&str]) -> Settings {
        let variables: Vec<CString> = variables.iter().map(|text| CString::new(*text).unwrap()).collect();
        Settings::from_environment(&variables.iter().map(|text| text.as_c_str()).collect::<Vec<_>>()).unwrap()
    }

    /// Uid, gid, groups and home.
    type Target = (u32, u32, Vec<u32>, String);

    fn resolved(variables: &[&str], map: &str) -> Result<Target, Error> {
        resolved_with(variables, map, &[])
    }

    fn resolved_with(variables: &[&str], map: &str, of_devices: &[GroupId]) -> Result<Target, Error> {
        let namespace = UserNamespace::from_map(map.as_bytes());
        let sources =
            AccountSources { passwd: PASSWD, group: GROUP, namespace: Some(&namespace), device_groups: of_devices };
        let identity = resolve(&settings(variables), &sources)?;
        let groups = identity.ids.groups.iter().map(|group| group.0).collect();
        Ok((identity.ids.user.0, identity.ids.group.0, groups, String::from_utf8(identity.home).unwrap()))
    }

    const WHOLE: &str = "0 0 4294967295";

    #[test]
    fn the_conventions_of_the_field_are_kept() {
        let home = "/home/app".to_string();
        let cases: [(&[&str], Target); 9] = [
            (&[], (1000, 1001, vec![44, 105, 1001], home.clone())),
            (&["PUID=1234"], (1234, 1234, vec![1234], "/".into())),
            (&["PUID=1000", "PGID=7"], (1000, 7, vec![7, 44, 105], home.clone())),
            (&["TAKUMI_USER=app"], (1000, 1001, vec![44, 105, 1001], home.clone())),
            (&["TAKUMI_USER=app:video"], (1000, 44, vec![44], home.clone())),
            (&["TAKUMI_USER=1000:1234"], (1000, 1234, vec![1234], home.clone())),
            (&["TAKUMI_USER=4242:4343", "PUID=1000", "PGID=1"], (4242, 4343, vec![4343], "/".into())),
            (&["TAKUMI_GROUPS=105,44,44"], (1000, 1001, vec![44, 105, 1001], home)),
            (&["TAKUMI_USER=homeless"], (50, 50, vec![50], "/".into())),
        ];
        for (variables, expected) in cases {
            assert_eq!(resolved(variables, WHOLE), Ok(expected), "{variables:?}");
        }
    }

    #[test]
    fn auto_adds_the_groups_of_devices_and_a_list_does_not() {
        let groups = |variables: &[&str], map| {
            let of_devices = [0, 226, 65_534, 70_000].map(GroupId);
            resolved_with(variables, map, &of_devices).unwrap().2
        };
        assert_eq!(groups(&[], WHOLE), [44, 105, 226, 1001, 70_000], "never gid 0 or the overflow gid");
        assert_eq!(groups(&["TAKUMI_GROUPS=auto", "TAKUMI_USER=app:44"], WHOLE), [44, 226, 70_000]);
        assert_eq!(groups(&["TAKUMI_GROUPS=105"], WHOLE), [105, 1001]);
        assert_eq!(
            groups(&[], "0 1500 1\n1 100000 65536"),
            [44, 105, 226, 1001],
            "what is not mapped cannot be joined"
        );
        let sources =
            AccountSources { passwd: b"", group: b"", namespace: None, device_groups: &[65_534, 226].map(GroupId) };
        assert_eq!(resolve(&settings(&[]), &sources).unwrap().ids.groups, [226, 1000].map(GroupId));
    }

    #[test]
    fn root_is_refused_by_the_map_not_by_the_number() {
        for variables in
            [&["PUID=0"][..], &["TAKUMI_USER=root"], &["PGID=0"], &["TAKUMI_USER=ops"], &["TAKUMI_USER=5:root"]]
        {
            assert!(matches!(resolved(variables, WHOLE), Err(Error::Root(..))), "{variables:?}");
            let allowed = [variables, &["TAKUMI_ALLOW_ROOT=yes"]].concat();
            assert!(resolved(&allowed, WHOLE).is_ok(), "{allowed:?}");
            assert!(resolved(variables, "0 1500 1\n1 100000 65536").is_ok(), "{variables:?} rootless");
        }
    }

    #[test]
    fn what_the_namespace_does_not_map_is_refused_with_the_map() {
        let error = Problem::from(resolved(&["PUID=1000"], "0 1500 1").unwrap_err()).what;
        assert!(error.contains("uid 1000") && error.contains("0→1500"), "{error}");
        let error = resolved(&["PUID=5", "PGID=70000"], "0 1500 1\n1 100000 65536").unwrap_err();
        assert!(Problem::from(error).what.contains("gid 70000"));
        assert!(resolved(&["TAKUMI_GROUPS=70000"], "0 1500 1\n1 100000 65536").is_err());
    }

    #[test]
    fn unknown_names_are_refused_and_named() {
        assert_eq!(resolved(&["TAKUMI_USER=nobodyhere"], WHOLE), Err(Error::UnknownUser(b"nobodyhere".to_vec())));
        assert_eq!(
            resolved(&["TAKUMI_USER=app:none"], WHOLE),
            Err(Error::UnknownGroup("TAKUMI_USER", b"none".to_vec()))
        );
        assert_eq!(
            resolved(&["TAKUMI_GROUPS=none"], WHOLE),
            Err(Error::UnknownGroup("TAKUMI_GROUPS", b"none".to_vec()))
        );
    }

    #[test]
    fn an_ordinary_start_refuses_only_somebody_else() {
        let sources = AccountSources { passwd: PASSWD, group: GROUP, namespace: None, device_groups: &[GroupId(226)] };
        let named = |variables: &[&str]| {
            conflicting_identity(&settings(variables), &sources, UserId(1000), GroupId(1000)).unwrap()
        };
        for nobody_else in [&[][..], &["PUID=1000"], &["TAKUMI_USER=app"], &["TAKUMI_USER=app:1000"]] {
            assert_eq!(named(nobody_else), None);
        }
        for (variables, who) in [
            ("PUID=1001", "uid 1001"),
            ("PGID=0", "gid 0"),
            ("TAKUMI_USER=ops", "uid 37"),
            ("TAKUMI_USER=app:video", "gid 44"),
            ("TAKUMI_GROUPS=44", "a member of TAKUMI_GROUPS"),
        ] {
            assert_eq!(named(&[variables]).as_deref(), Some(who));
        }
    }
}
