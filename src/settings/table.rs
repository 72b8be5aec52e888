//! Every variable: name, default, meaning. `--help` and docs/settings.md print from here; a test holds docs/settings.md
//! to it.

use std::fmt;

/// One variable of the environment.
pub struct Setting {
    pub name: &'static str,
    /// What holds without it; `–` for nothing.
    pub default: &'static str,
    /// What the ComfyUI image sets, where that differs.
    pub image: Option<&'static str>,
    /// What image/compose.yaml sets, where that differs from both.
    pub compose: Option<&'static str>,
    /// What it says, in a few words.
    pub values: &'static str,
    pub meaning: &'static str,
    /// Whether the probe needs what the start had: none of these may be a secret, everybody in the container can read
    /// them.
    pub for_probe: bool,
}

const fn setting(name: &'static str, default: &'static str, values: &'static str, meaning: &'static str) -> Setting {
    Setting { name, default, image: None, compose: None, values, meaning, for_probe: false }
}

impl Setting {
    const fn in_image(self, image: &'static str) -> Setting {
        Setting { image: Some(image), ..self }
    }

    const fn in_compose(self, compose: &'static str) -> Setting {
        Setting { compose: Some(compose), ..self }
    }

    const fn for_probe(self) -> Setting {
        Setting { for_probe: true, ..self }
    }
}

/// The table, in the order in which a person meets them.
pub static SETTINGS: &[Setting] = &[
    setting("PUID", "1000", "id", "the user that COMMAND runs as; images leave it unset"),
    setting("PGID", "the user's primary group, else PUID", "id", "its group"),
    setting(
        "TAKUMI_USER",
        "–",
        "user[:group], uid[:gid]",
        "whom COMMAND runs as, as in `docker run --user`; wins over PUID and PGID",
    ),
    setting(
        "TAKUMI_ALLOW_ROOT",
        "no",
        "yes, no",
        "allow uid 0 or gid 0 as the target; no capability survives even then. Not needed where the user namespace maps 0 to an ordinary user of the host",
    )
    .for_probe(),
    setting(
        "TAKUMI_GROUPS",
        "auto",
        "auto, or names and gids with commas",
        "supplementary groups; `auto`: the user's in /etc/group, none when TAKUMI_USER names a group, and those of GPU nodes whose mode needs them; never gid 0 or the overflow gid",
    ),
    setting("UMASK", "inherited", "octal", "COMMAND's umask"),
    setting(
        "TAKUMI_VOLUMES",
        "–",
        "directories with colons",
        "what COMMAND must be able to write; created if missing, wrong owners fixed",
    )
    .in_image("/data:/cache")
    .for_probe(),
    setting(
        "TAKUMI_OWNERSHIP",
        "auto",
        "auto, chown, share, verify, off",
        "how COMMAND gets its volumes: `share` grants by POSIX ACL and leaves the owner; `auto` is chown, but share for a rootless bind mount of the host user's own files",
    ),
    setting("TAKUMI_TMPFS", "–", "directories with colons", "must be tmpfs with a size limit, nosuid, nodev, noexec")
        .in_image("/tmp:/run")
        .for_probe(),
    setting(
        "TAKUMI_BAKED",
        "–",
        "directories with colons",
        "image directories at or under which nothing may be mounted, except the volumes",
    )
    .in_image("/app:/opt")
    .for_probe(),
    setting(
        "TAKUMI_GPU",
        "auto",
        "auto, require, off",
        "check the GPU's device nodes, driver and libraries; `auto`: where one was given to the container; `require`: refuse the start without",
    )
    .for_probe(),
    setting(
        "TAKUMI_EGRESS",
        "auto",
        "auto, require, off",
        "check that the proxy is the only way out, and set the proxy's variables for COMMAND in lower and upper case; `auto`: when one of them is set; `require`: refuse the start otherwise. The proxy's host is an address, localhost or a name in /etc/hosts",
    )
    .in_compose("require")
    .for_probe(),
    setting(
        "TAKUMI_REQUIRE",
        "–",
        "check ids or shields with commas, all",
        "a start is refused while one of them does not pass",
    )
    .for_probe(),
    setting("TAKUMI_SKIP", "–", "check ids with commas", "checks not to run").for_probe(),
    setting(
        "TAKUMI_CONFINE",
        "off",
        "auto, strict, off",
        "sandbox COMMAND with Landlock and seccomp; `auto`: as far as the kernel can (the finding says how far); `strict`: everything, or the start is refused",
    )
    .in_image("auto")
    .for_probe(),
    setting(
        "TAKUMI_WRITABLE",
        "–",
        "directories with colons",
        "further directories that COMMAND may write in the sandbox; the volumes and every tmpfs are included",
    ),
    setting(
        "TAKUMI_CONNECT",
        "–",
        "ports with commas",
        "further TCP ports that COMMAND may connect to in the sandbox, where a proxy is set; the proxy's and the health URL's are included",
    ),
    setting(
        "TAKUMI_SIGNALS",
        "–",
        "FROM=TO with commas",
        "signals to rewrite before they are forwarded, names or numbers; `FROM=` drops one",
    ),
    setting(
        "TAKUMI_SIGNAL_SCOPE",
        "child",
        "child, group, all",
        "whom a forwarded signal reaches: COMMAND, its process group, every process",
    ),
    setting(
        "TAKUMI_STOP",
        "–",
        "SIGNAL:TIME or drain:TIME with commas",
        "what SIGTERM starts: each step sends its signal and waits its time, then SIGKILL; a second SIGTERM skips to the next step. `drain` asks ComfyUI at TAKUMI_HEALTH_URL's host and port to clear its queue and to interrupt, and waits until it is idle. Empty: SIGTERM is forwarded, no deadline",
    )
    .in_image("drain:8s,TERM:1s"),
    setting(
        "TAKUMI_LEFTOVER_GRACE",
        "2s",
        "time",
        "after COMMAND ended, other processes get SIGTERM and this much time before SIGKILL; no wait if there are none",
    )
    .in_image("500ms"),
    setting(
        "TAKUMI_PARENT_DEATH",
        "–",
        "signal",
        "the signal that `init` gets, and forwards, when its parent dies (tini -p)",
    ),
    setting(
        "TAKUMI_REBOOT",
        "–",
        "comfyui",
        "start COMMAND again, in the same container, when ComfyUI-Manager asks for it: it ends with 0 and leaves the file that `__COMFY_CLI_SESSION__` names; more than 5 times in 60 s ends with its code",
    )
    .in_image("comfyui"),
    setting(
        "TAKUMI_KEEP_FDS",
        "–",
        "descriptors from 3 on with commas, all",
        "inherited descriptors that reach COMMAND; those of LISTEN_FDS always do",
    ),
    setting("TAKUMI_EXIT_OK", "–", "exit codes with commas", "codes that are reported as 0, e.g. `143,130`")
        .in_image("143"),
    setting("TAKUMI_HEALTH_URL", "–", "http://HOST[:PORT]/PATH", "what `--check` asks; empty: no request")
        .in_image("http://127.0.0.1:8188/prompt")
        .for_probe(),
    setting("TAKUMI_HEALTH_TIMEOUT", "10s", "time", "for the whole `--check`").for_probe(),
    setting(
        "TAKUMI_ENV_FILE",
        "–",
        "files with colons",
        ".env files, plain or encrypted by dotenvx, for COMMAND; values are literal, the environment wins, then later files. Keys come from DOTENV_PRIVATE_KEY (`.env`), DOTENV_PRIVATE_KEY_CI (`.env.ci`) and so on, or from the file that the same name with _FILE names",
    ),
    setting(
        "TAKUMI_SECRETS",
        "–",
        "names with commas",
        "the file that NAME_FILE names is read before the drop, and COMMAND gets its content as NAME; setting both is refused",
    ),
    setting("TAKUMI_NODES", "–", "directory", "custom nodes to scan before COMMAND and before each reboot")
        .in_image("/data/custom_nodes"),
    setting(
        "TAKUMI_STATE",
        "–",
        "directory",
        "directory that only container root can write, kept between starts: node approvals and scan results; outside every volume of TAKUMI_VOLUMES; without it nothing can be approved",
    )
    .in_image("/state"),
    setting(
        "TAKUMI_SCAN_COMMAND",
        "bandit",
        "command",
        "the scanner: Bandit with the rules of image/bandit installed beside it; a path, or a name in /usr/local/sbin, /usr/local/bin, /usr/sbin, /usr/bin, /sbin or /bin; COMMAND must not be able to write any of it",
    ),
    setting(
        "TAKUMI_SCAN",
        "warn",
        "off, warn, block, quarantine",
        "what happens to a node that needs review (it does something risky and this exact version is not approved, or it was not scanned): `warn`: a warning; `block`: the start is refused; `quarantine`: it is moved into `.quarantine.disabled` beside the others",
    ),
    setting("TAKUMI_LOG", "info", "error, warn, info, debug, trace", "how much `init` says on stderr"),
    setting("TAKUMI_LOG_FORMAT", "text", "text, json", "`json`: one object a line"),
];

/// What must be said beside the table.
const NOTES: &str = "\
An empty value means unset for lists and texts; an empty PUID, PGID, UMASK, TAKUMI_USER or word is refused. A value that cannot be
parsed, a setting that is set twice and an unknown name that begins with TAKUMI_ end the start with 125. Ids are decimal, 0 to
4294967294. Times are a number with ms, s or m. All of these, DOTENV_PRIVATE_KEY* and the NAME_FILE of each TAKUMI_SECRETS are removed
from COMMAND's environment, except TAKUMI_LOG and TAKUMI_LOG_FORMAT.
";

/// The table as `--help` prints it.
pub struct Help;

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for setting in SETTINGS {
            writeln!(f, "  {}={}", setting.name, setting.values)?;
            write!(f, "      {}", setting.meaning)?;
            write!(f, "\n      default: {}", setting.default)?;
            let elsewhere = [("the ComfyUI image", setting.image), ("compose.yaml", setting.compose)];
            for (place, value) in elsewhere.into_iter().filter_map(|(place, value)| Some((place, value?))) {
                write!(f, "; in {place}: {value}")?;
            }
            writeln!(f)?;
        }
        write!(f, "\n{NOTES}")
    }
}

/// The table as docs/settings.md holds it.
#[cfg(test)]
pub struct Markdown;

#[cfg(test)]
impl fmt::Display for Markdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Settings\n\n<!-- Printed from src/settings/table.rs; `scripts/test.sh` fails where the two differ. -->\n"
        )?;
        writeln!(
            f,
            "{NOTES}\n| variable | value | default | in the ComfyUI image | meaning |\n| --- | --- | --- | --- | --- |"
        )?;
        for setting in SETTINGS {
            let image = match (setting.image, setting.compose) {
                (Some(image), _) => format!("`{image}`"),
                (None, Some(compose)) => format!("– (compose.yaml: `{compose}`)"),
                (None, None) => "–".to_string(),
            };
            writeln!(
                f,
                "| `{}` | {} | {} | {image} | {} |",
                setting.name, setting.values, setting.default, setting.meaning
            )?;
        }
        Ok(())
    }
}

/// Whether the probe needs the setting of this name.
pub fn is_for_probe(name: &[u8]) -> bool {
    SETTINGS.iter().any(|setting| setting.for_probe && setting.name.as_bytes() == name)
}

const MAX_NAME: usize = 32;

/// The known name that looks most like `name`.
pub fn nearest_name(name: &str) -> &'static str {
    let alike = |known: &str| known.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    // A name that only goes on too long (TAKUMI_LOGLEVEL) is nearer than one of other letters.
    let far = |known: &str| 2 * edit_distance(known, name) + MAX_NAME - alike(known);
    let closest = SETTINGS.iter().min_by_key(|setting| far(setting.name));
    closest.map_or("TAKUMI_USER", |setting| setting.name)
}

/// How many letters have to be put in, taken out or changed (Levenshtein).
fn edit_distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_what_the_table_prints() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md");
        let printed = Markdown.to_string();
        if std::env::var_os("PRINT_SETTINGS").is_some() {
            std::fs::write(path, &printed).unwrap();
        }
        let document = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            document == printed,
            "docs/settings.md is old: make it anew with PRINT_SETTINGS=1 cargo test settings::table"
        );
    }

    /// The settings in a text, sorted: NAME, `separator` and VALUE on a line, with a backslash behind it in a
    /// Dockerfile.
    fn given<'a>(text: &'a str, separator: &str) -> Vec<(&'a str, &'a str)> {
        let lines = text.lines().map(|line| line.trim().trim_end_matches(" \\"));
        let pairs = lines.filter_map(|line| line.split_once(separator));
        let mut known: Vec<_> =
            pairs.filter(|(name, _)| SETTINGS.iter().any(|setting| setting.name == *name)).collect();
        known.sort();
        known
    }

    /// The same of a column of the table.
    fn table_values(of: fn(&Setting) -> Option<&'static str>) -> Vec<(&'static str, &'static str)> {
        let mut pairs: Vec<_> = SETTINGS.iter().filter_map(|setting| Some((setting.name, of(setting)?))).collect();
        pairs.sort();
        pairs
    }

    #[test]
    fn the_image_and_compose_set_what_the_table_says() {
        let image = table_values(|setting| setting.image);
        assert_eq!(given(include_str!("../../image/Dockerfile"), "="), image);
        let compose = include_str!("../../image/compose.yaml");
        let comfyui = compose.split_once("\n  comfyui:").unwrap().1.split_once("\n  egress:").unwrap().0;
        let mut further = given(comfyui, ": ");
        // What the image says already, and what whoever starts it chooses.
        further.retain(|pair| !image.contains(pair) && !pair.1.starts_with("${"));
        assert_eq!(further, table_values(|setting| setting.compose));
    }

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        for (slip, meant) in [
            ("TAKUMI_VOLUME", "TAKUMI_VOLUMES"),
            ("TAKUMI_ALLOWROOT", "TAKUMI_ALLOW_ROOT"),
            ("TAKUMI_LOGLEVEL", "TAKUMI_LOG"),
            ("TAKUMI_UID", "TAKUMI_USER"),
        ] {
            assert_eq!(nearest_name(slip), meant, "{slip}");
        }
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (one, other, letters) in [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0)] {
            assert_eq!(edit_distance(one, other), letters);
        }
    }
}
