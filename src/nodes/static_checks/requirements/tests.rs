use super::*;

fn indicators(content: &[u8]) -> Vec<Indicator> {
    let mut signs = Vec::new();
    check(content, &mut |sign| signs.push(sign));
    signs
}

fn elsewhere(content: &[u8]) -> Vec<(u32, String)> {
    indicators(content)
        .into_iter()
        .map(|(behaviour, line, detail)| {
            assert_eq!(behaviour, Behaviour::PackagesFromElsewhere, "{detail}");
            (line, detail)
        })
        .collect()
}

#[test]
fn a_plain_requirement_is_nothing() {
    let plain = b"\xef\xbb\xbf# --index-url https://x.example\r\nnumpy\r\ntorch>=2.0,!=2.1 ; python_version < '3.12' # see https://x\r\n\
            opencv-python-headless[extra]==4.8.0.74 \\\r\n    --hash=sha256:aa\r\n--pre\r\n--only-binary :all:\r\n-r requirements-base.txt\r\n\
            --requirement=requirements/gpu.txt\r\n-c constraints.txt\r\nultralytics\r\nultralytics>=8.3.0\r\n\r\nname~=1.0; sys_platform == 'linux'\r\n";
    assert_eq!(elsewhere(plain), []);
    assert_eq!(elsewhere(b""), []);
    assert_eq!(elsewhere(b"\\"), []);
}

#[test]
fn what_leads_past_the_index_is_told_with_its_line() {
    for line in [
        "git+https://github.com/a/b.git@main",
        "b @ git+ssh://github.com/a/b",
        "a @ file:///tmp/x.whl",
        "a@ ./x",
        "https://x.example/a-1.0-py3-none-any.whl",
        "./vendored",
        "../a",
        "/data/a",
        "wheels/a-1.0.whl",
        "a-1.0.tar.gz",
        "-e .",
        "-e git+https://x.example/a#egg=a",
        "--editable=./a",
        "-i https://x.example/simple",
        "-ihttps://x.example/simple",
        "--index-url https://x.example/simple",
        "--extra-index-url=https://x.example/simple",
        "--extra-index x.example",
        "-f wheels",
        "--find-links https://x.example",
        "--trusted-host x.example",
        "-r https://x.example/requirements.txt",
        "-r data/list.dat",
        "-r ../requirements.txt",
        "-c /etc/constraints.txt",
        "${URL}",
    ] {
        assert_eq!(elsewhere(format!("numpy\n{line}\n").as_bytes()), [(2, line.to_string())], "{line}");
    }
    let two = elsewhere(b"a\\\n  @ https://x.example/a\n\nb @ https://x.example/b");
    assert_eq!(two.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 4]);
    let wide: Vec<u8> =
        b"\xff\xfe".iter().copied().chain(b"a @ https://x.example/a\n".iter().flat_map(|&byte| [byte, 0])).collect();
    assert_eq!(elsewhere(&wide).len(), 1);
}

#[test]
fn a_password_is_not_repeated() {
    for (line, shown) in [
        ("a @ https://user:secret@x.example/a?token=secret b", "a @ https://…@x.example/a?… b"),
        ("--index-url=https://secret@x.example", "--index-url=https://…@x.example"),
        ("https://u:sec@ret@x.example/@scope/a", "https://…@x.example/@scope/a"),
        ("https://x.example https://u:p@y.example", "https://x.example https://…@y.example"),
        ("git+ssh://git:secret@x.example/a", "git+ssh://…@x.example/a"),
    ] {
        assert_eq!(redact_credentials(line), shown);
        assert!(elsewhere(line.as_bytes()).iter().all(|(_, detail)| !detail.contains("secret")));
    }
}

#[test]
fn known_bad_packages_are_named() {
    for line in [
        "ultralytics==8.3.41",
        "Ultralytics [export] == 8.3.42 ; python_version > '3'",
        "ultralytics>=8.3,<=8.3.46",
        "litellm===1.82.8",
        "lolMiner",
        "https://x.example/openai-1.16.3-py3-none-any.whl",
        "./ultralytics-8.3.45.tar.gz",
        "anthropic @ https://x.example/anthropic-0.21.5-py3-none-any.whl",
        "b @ https://github.com/AppleBotzz/b",
    ] {
        let found = indicators(line.as_bytes());
        assert!(
            found.iter().any(|(behaviour, line, _)| *behaviour == Behaviour::KnownBad && *line == 1),
            "{line}: {found:?}"
        );
    }
    for line in ["ultralytics==8.3.40", "ultralytics", "ultralytics!=8.3.41", "ultralytics>8.3.41", "openai==1.30.2"] {
        assert_eq!(indicators(line.as_bytes()), [], "{line}");
    }
}

#[test]
fn lists_are_known_by_their_names() {
    for path in [
        &b"requirements.txt"[..],
        b"a/Requirements-GPU.txt",
        b"requirements/base.txt",
        b"requirements.in",
        b"constraints.txt",
    ] {
        assert!(is_requirements_file(path), "{path:?}");
    }
    for path in [&b"readme.txt"[..], b"requirements.md", b"requirements.txt/x", b"", b"my-requirements.txt.bak"] {
        assert!(!is_requirements_file(path), "{path:?}");
    }
}
