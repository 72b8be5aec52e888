use super::*;
use std::ffi::CString;

fn named(variables: &[&CStr]) -> ProxyVariables {
    ProxyVariables::from_environment(variables)
}

fn place(value: &CStr) -> Option<(String, u16)> {
    let variable = CString::new([b"HTTPS_PROXY=", value.to_bytes()].concat()).unwrap();
    named(&[&variable]).proxy.map(|proxy| (proxy.host, proxy.port))
}

#[test]
fn a_url_names_host_and_port() {
    let known = [
        (c"http://proxy:8888", "proxy", 8888),
        (c"HTTP://Proxy.Example/", "proxy.example", 80),
        (c"http://10.0.0.1:3128/", "10.0.0.1", 3128),
        (c"http://[2001:db8::1]:8888", "[2001:db8::1]", 8888),
        (c"http://[::1]", "[::1]", 80),
        (c"http://user:p@ss@my_proxy-1:1", "my_proxy-1", 1),
    ];
    for (value, host, port) in known {
        assert_eq!(place(value), Some((host.to_string(), port)), "{value:?}");
    }
    let wrong = [
        c"proxy:8888", c"http://", c"http://:8888", c"http:///", c"http://proxy:0", c"http://proxy:65536",
        c"http://proxy:+1", c"http://proxy:", c"http://proxy:80:81", c"http://2001:db8::1", c"http://[2001:db8::1",
        c"http://[proxy]:1", c"http://[::1]x:1", c"http://wpad/proxy.pac", c"http://user:pa/ss@proxy:1",
        c"http://user:pa#ss@proxy:1", c"http://pro xy:1", c"http://pr\xffoxy:1", c"http://proxy\r\nX: y",
        c"ftp://proxy:1",
    ];
    for value in wrong {
        let variable = CString::new([b"http_proxy=", value.to_bytes()].concat()).unwrap();
        let named = named(&[&variable]);
        assert_eq!((named.proxy, named.errors), (None, vec![ProxyError::NotHttpUrl("http_proxy")]), "{value:?}");
    }
}

#[test]
fn a_proxy_of_another_kind_is_told_from_a_mistake() {
    for (value, scheme) in [(c"ALL_PROXY=socks5h://p:1080", "socks5h"), (c"ALL_PROXY=HTTPS://p", "https")] {
        let named = named(&[value]);
        assert_eq!(named.errors, [ProxyError::Scheme("ALL_PROXY", scheme)]);
        assert_eq!((named.proxy, named.variables), (None, vec!["ALL_PROXY"]));
    }
}

#[test]
fn the_one_for_https_is_checked_and_another_is_mentioned() {
    let of = |variables: &[&CStr]| {
        let named = named(variables);
        (named.variables.first().copied(), named.proxy.map(|proxy| proxy.host), named.conflicting, named.errors)
    };
    let both = of(&[c"http_proxy=http://a", c"HTTPS_PROXY=http://b"]);
    assert_eq!(both, (Some("HTTPS_PROXY"), Some("b".into()), Some("http_proxy"), vec![]));
    let same = of(&[c"http_proxy=http://a:80/", c"https_proxy=http://A", c"ALL_PROXY=http://a"]);
    assert_eq!(same, (Some("https_proxy"), Some("a".into()), None, vec![]));
    let all = of(&[c"ALL_PROXY=http://a"]);
    assert_eq!(all, (Some("ALL_PROXY"), Some("a".into()), None, vec![]));
    let none = of(&[c"HTTP_PROXY=", c"NO_PROXY=*", c"FTP_PROXY=http://a", c"Https_Proxy=http://a"]);
    assert_eq!(none, (None, None, None, vec![]));
}

#[test]
fn two_cases_that_contradict_each_other_are_a_mistake() {
    let one = named(&[c"HTTP_PROXY=http://a", c"http_proxy=http://b"]);
    assert_eq!(one.errors, [ProxyError::CaseMismatch("http_proxy", "HTTP_PROXY")]);
    assert_eq!(one.proxy.unwrap().host, "b");
    let login = named(&[c"HTTP_PROXY=http://u:a@p", c"http_proxy=http://u:b@p"]);
    assert_eq!(login.errors, [ProxyError::CaseMismatch("http_proxy", "HTTP_PROXY")]);
    let except = [c"HTTP_PROXY=http://a", c"NO_PROXY=localhost,x", c"no_proxy=x 127.0.0.1"];
    assert_eq!(named(&except).errors, []);
    let except = [c"HTTP_PROXY=http://a", c"NO_PROXY=x", c"no_proxy=y"];
    assert_eq!(named(&except).errors, [ProxyError::CaseMismatch("no_proxy", "NO_PROXY")]);
    let except = [c"HTTP_PROXY=http://a", c"NO_PROXY=x, *"];
    assert_eq!(named(&except).errors, [ProxyError::ExemptsAll("NO_PROXY")]);
}

#[test]
fn a_login_becomes_a_header_and_is_shown_nowhere() {
    let header = |value: &CStr| named(&[value]).proxy.unwrap().authorization().map(str::to_string);
    // RFC 7617's own examples, the second with its encoded character.
    let expected = Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_string());
    assert_eq!(header(c"http_proxy=http://Aladdin:open%20sesame@p"), expected);
    assert_eq!(header(c"http_proxy=http://test:123%C2%A3@p"), Some("Basic dGVzdDoxMjPCow==".to_string()));
    assert_eq!(header(c"http_proxy=http://u:%zz%4@p"), Some("Basic dTolenolNA==".to_string()));
    assert_eq!(header(c"http_proxy=http://p"), None);
    let all =
        [c"http_proxy=http://hunter:s3cret@p:1", c"HTTPS_PROXY=socks5://hunter:s3cret@p", c"ALL_PROXY=hunter:s3cret@p"];
    let named = named(&all);
    let shown = format!("{named:?} {:?} {}", named.proxy, parse_proxy("x", b"http://hunter:s3cret@p").unwrap());
    let encoded = Base64::encode_string(b"hunter:s3cret");
    for secret in ["hunter", "s3cret", encoded.as_str()] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
