//! Lines of an allow-list: what they become, and which are refused.

use std::sync::LazyLock;
use takumi_test::engine::{Container, engine};
use takumi_test::folder::{Folder, fresh_name};
use takumi_test::image::built;
use takumi_test::program::run;
use takumi_test::require;

/// As scripts/build.sh made it: /egress runs here, and `init` does not.
static IMAGE: LazyLock<String> = LazyLock::new(|| built("egress"));

/// (line, tinyproxy's pattern)
const RIGHT: [(&str, &str); 12] = [
    ("huggingface.co", r"^huggingface\.co$"),
    ("HuggingFace.CO", r"^huggingface\.co$"),
    ("  huggingface.co\t", r"^huggingface\.co$"),
    ("huggingface.co # the hub", r"^huggingface\.co$"),
    ("huggingface.co\r", r"^huggingface\.co$"),
    ("*.hf.co", r"^([a-z0-9-]+\.)+hf\.co$"),
    ("*.HF.co\t# its files", r"^([a-z0-9-]+\.)+hf\.co$"),
    ("a-b.c3.example", r"^a-b\.c3\.example$"),
    ("xn--bcher-kva.example", r"^xn--bcher-kva\.example$"),
    ("3.example.org", r"^3\.example\.org$"),
    ("github.io", r"^github\.io$"),
    ("*.someone.github.io", r"^([a-z0-9-]+\.)+someone\.github\.io$"),
];

/// (line, a word of the reason)
const WRONG: [(&str, &str); 52] = [
    ("a.example.org b.example.org", "one host a line"),
    ("a.example .org", "one host a line"),
    ("a.example.org\tb", "one host a line"),
    ("https://huggingface.co", "without scheme"),
    ("huggingface.co/models", "without scheme"),
    ("huggingface.co:443", "without a port"),
    ("[::1]", "never allowed"),
    ("::1", "never allowed"),
    ("fd00::1", "never allowed"),
    ("192.168.0.1", "never allowed"),
    ("8.8.8.8", "never allowed"),
    ("127.1", "never allowed"),
    ("2130706433", "never allowed"),
    ("0x7f000001", "never allowed"),
    ("0x7f.0.0.0x1", "never allowed"),
    ("a.example.1", "never allowed"),
    ("10.0.0.0/8", "without scheme"),
    ("*", "a star is allowed only"),
    ("**", "a star is allowed only"),
    ("*.*", "a star is allowed only"),
    ("*.*.example.org", "a star is allowed only"),
    ("a.*.example.org", "a star is allowed only"),
    ("a*.example.org", "a star is allowed only"),
    ("*example.org", "a star is allowed only"),
    ("example.*", "a star is allowed only"),
    ("example.org.*", "a star is allowed only"),
    ("*.", "expected a name with a dot"),
    ("*.com", "expected a name with a dot"),
    ("*.co.uk", "anyone can register a name under co.uk"),
    ("*.github.io", "anyone can register a name under github.io"),
    ("*.s3.amazonaws.com", "anyone can register a name"),
    ("*.something.ck", "anyone can register a name"),
    ("localhost", "expected a name with a dot"),
    ("huggingface", "expected a name with a dot"),
    ("huggingface.co.", "remove the dot at the end"),
    (".hf.co", "write *.hf.co"),
    ("a..example.org", "two dots in a row"),
    ("-a.example.org", "a dash"),
    ("a-.example.org", "a dash"),
    (r"^huggingface\.co$", "regular expressions"),
    (r"hugging(face)?.co", "regular expressions"),
    ("[a-z].example.org", "regular expressions"),
    ("a|b.example.org", "regular expressions"),
    ("a_b.example.org", "not a character"),
    ("user@example.org", "not a character"),
    ("a.example.org#comment", "not a character"),
    ("b\u{fc}cher.example", "xn--"),
    ("huggingf\u{430}ce.co", "xn--"),
    ("printer.local", "do not exist on the internet"),
    ("forbidden.invalid", "do not exist on the internet"),
    ("@nothing", "there is no list"),
    ("@../none", "expected the name of a list"),
];

/// Writes the lists into one folder and has the image judge each, in one container; returns for each its code and what was said.
fn check_lists(lists: &[(String, Vec<u8>)], command: &str) -> Vec<(i32, String)> {
    let folder = Folder::new();
    for (name, content) in lists {
        std::fs::write(folder.join(format!("{name}.txt")), content).unwrap();
    }
    let names: Vec<&str> = lists.iter().map(|(name, _)| name.as_str()).collect();
    let line = format!("for name in {}; do export ALLOW=$name; {command} 2>&1; echo \"= $?\"; done", names.join(" "));
    let name = fresh_name("lists");
    let _container = Container { name: name.clone() };
    let mount = format!("{}:/etc/egress/allow:ro", folder.0.display());
    let words = ["run", "--rm", "--name", &name, "--network", "none", "--volume", &mount, "--entrypoint", "sh"];
    let said = run(&mut engine(&[&words[..], &[&IMAGE, "-c", &line]].concat())).stdout;
    let mut answers = Vec::new();
    let mut words = String::new();
    for line in said.lines() {
        match line.strip_prefix("= ") {
            Some(code) => answers.push((code.parse().unwrap(), std::mem::take(&mut words))),
            None => words.extend([line, "\n"]),
        }
    }
    assert_eq!(answers.len(), lists.len(), "{said}");
    answers
}

fn numbered<'a>(lines: impl Iterator<Item = &'a str>, before: &str) -> Vec<(String, Vec<u8>)> {
    lines.enumerate().map(|(at, line)| (format!("list-{at}"), format!("{before}{line}\n").into_bytes())).collect()
}

#[test]
fn right_lines_become_anchored_patterns() {
    require!(gateway);
    let lists = numbered(RIGHT.iter().map(|(line, _)| *line), "# a comment\n\n");
    for ((line, pattern), (code, said)) in RIGHT.iter().zip(check_lists(&lists, "/egress filter")) {
        assert_eq!((code, said.as_str()), (0, format!("{pattern}\n").as_str()), "{line}");
    }
}

#[test]
fn wrong_lines_are_refused_with_file_number_line_and_reason() {
    require!(gateway);
    let lists = numbered(WRONG.iter().map(|(line, _)| *line), "good.example.org\n");
    for (at, ((line, reason), (code, said))) in WRONG.iter().zip(check_lists(&lists, "/egress filter")).enumerate() {
        assert_eq!(code, 125, "{line}: {said}");
        let printable: String =
            line.bytes().map(|byte| if (b' '..=b'~').contains(&byte) { byte as char } else { '?' }).collect();
        let place = format!("/list-{at}.txt:2: {printable}: ");
        assert!(said.contains(&place) && said.contains(reason), "expected '{place}…{reason}': {said}");
        assert!(!said.contains('^') || line.contains('^'), "a pattern was printed: {said}");
    }
}

#[test]
fn whole_files_are_judged_too() {
    require!(gateway);
    let long = format!("{}.example.org", "a".repeat(64));
    let longer = format!("{}example.org", "a.".repeat(130));
    let lists: Vec<(String, Vec<u8>)> = [
        ("empty", &b""[..]),
        ("comments-only", b"# nothing\n\n  # here\n"),
        ("no-newline", b"a.example.org"),
        ("twice", b"a.example.org\nA.example.org\n"),
        ("byte-order-mark", b"\xef\xbb\xbfa.example.org\n"),
        ("nul", b"a.example.org\0.b.example.org\n"),
        ("escape", b"\x1b[31ma.example.org\n"),
        ("includes", b"@twice\nb.example.org\n"),
        ("itself", b"@itself\nb.example.org\n"),
        ("several", b"1.2.3.4\na.example.org\nhost\n"),
        ("long", long.as_bytes()),
        ("longer", longer.as_bytes()),
        ("none", b"# nothing\n"),
    ]
    .map(|(name, content)| (name.to_owned(), content.to_vec()))
    .to_vec();
    let answers = check_lists(&lists, "/egress filter");
    let answer = |name: &str| &answers[lists.iter().position(|(list, _)| list == name).unwrap()];
    let right = [
        ("no-newline", "^a\\.example\\.org$\n"),
        ("twice", "^a\\.example\\.org$\n"),
        ("includes", "^a\\.example\\.org$\n^b\\.example\\.org$\n"),
        ("itself", "^b\\.example\\.org$\n"),
        ("none", ""),
    ];
    for (name, patterns) in right {
        assert_eq!(answer(name), &(0, patterns.to_owned()), "{name}");
    }
    let wrong = [
        ("empty", "no host in it"),
        ("comments-only", "no host in it"),
        ("byte-order-mark", "byte-order-mark.txt:1: ???a.example.org"),
        ("nul", "nul.txt:1: "),
        ("escape", "escape.txt:1: ?[31ma.example.org"),
        ("several", "several.txt:1: 1.2.3.4"),
        ("several", "several.txt:3: host"),
        ("long", "longer than 63"),
        ("longer", "longer than 253"),
    ];
    for (name, words) in wrong {
        let (code, said) = answer(name);
        assert!(*code == 125 && said.contains(words), "{name}: expected '{words}': {said}");
        assert!(!said.contains('\x1b'), "{name}");
    }
    // The list none with a host in it is somebody's mistake.
    let lists = [("none".to_owned(), b"a.example.org\n".to_vec())];
    let (code, said) = &check_lists(&lists, "/egress filter")[0];
    assert!(*code == 125 && said.contains("the list none has hosts"), "{said}");
}

#[test]
fn the_shipped_lists_are_right_and_hold_the_package_index() {
    require!(gateway);
    let filter = |list: &str| {
        let name = fresh_name("list");
        let allow = format!("ALLOW={list}");
        let words = ["run", "--rm", "--name", &name, "--network", "none", "--env", &allow];
        run(&mut engine(&[&words[..], &["--entrypoint", "/egress", &IMAGE, "filter"]].concat())).ends_with(0).stdout
    };
    assert_eq!(filter("none"), "");
    let (models, all, index) = (filter("models"), filter("models-and-nodes"), filter("package-index"));
    assert!(models.contains("^huggingface\\.co$"), "{models}");
    assert!(!models.contains("github"), "{models}");
    assert!(all.starts_with(&models) && all.contains("^github\\.com$"), "{all}");
    assert_eq!(index.lines().count(), 2, "{index}");
    assert!(index.lines().all(|host| all.contains(host)), "{all}");
}
