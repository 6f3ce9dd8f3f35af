//! Redirect URIs: which may be registered, and which presented one is a registered one.

use portcullis_oauth::redirect::{self, Reach, RedirectError, RedirectPolicy};

const REGISTERABLE: [&str; 14] = [
    "https://app.example/callback",
    "https://app.example",
    "https://app.example:8443/cb?tenant=a%20b",
    "https://app.example:443/cb",
    "https://xn--bcher-kva.example/cb",
    "https://claude.ai/api/mcp/auth_callback",
    "https://vscode.dev/redirect",
    "https://192.0.2.7/cb",
    "http://127.0.0.1/callback",
    "http://127.0.0.1:33418/",
    "http://127.0.0.1:33418",
    "http://[::1]:8080/cb",
    "http://localhost/callback",
    "http://localhost:3334/oauth/callback",
];

// spec: AS-37, T-11, T-14
#[test]
fn only_plain_https_and_loopback_http_may_be_registered() {
    let policy = RedirectPolicy::default();
    for good in REGISTERABLE {
        assert_eq!(policy.check(good), Ok(()), "{good}");
    }
    let bad = [
        // other schemes
        "http://app.example/callback",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "blob:https://app.example/1",
        "about:blank",
        "ftp://app.example/cb",
        "ws://127.0.0.1/cb",
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "myapp:/cb",
        "com.example.app:/cb",
        // not absolute
        "",
        "/callback",
        "//app.example/cb",
        "app.example/cb",
        "https:/app.example/cb",
        "https:app.example",
        "https://",
        "https:///cb",
        // fragment, wildcard, userinfo
        "https://app.example/cb#x",
        "https://app.example/cb#",
        "https://*.app.example/cb",
        "https://app.example/*",
        "https://user@app.example/cb",
        "https://user:pw@app.example/cb",
        "https://app.example@evil.example/cb",
        "http://localhost@evil.example/cb",
        "http://127.0.0.1:80@evil.example/",
        // dot segments, however written
        "https://app.example/a/../cb",
        "https://app.example/./cb",
        "https://app.example/a/%2e%2e/cb",
        "https://app.example/a/.%2E/cb",
        "https://app.example/..",
        // characters that are read in two ways
        "https://app.example\\@evil.example/cb",
        "https://app.example/cb\\..",
        " https://app.example/cb",
        "https://app.example/cb ",
        "https://app.example/c b",
        "https://app.example/cb\n",
        "https://app.example/\tcb",
        "https://app.example/c\u{202e}b",
        "https://bücher.example/cb",
        "https://app.example/<script>",
        "https://app.example/%zz",
        "https://app.example/cb%0d%0aSet-Cookie:x",
        "https://app.example/%00",
        // hosts that a parser would rewrite
        "https://App.Example/cb",
        "HTTPS://app.example/cb",
        "https://app.example./cb",
        "https://app%2eexample/cb",
        "https://2130706433/cb",
        "https://0x7f.1/cb",
        "https://app.example:/cb",
        "https://app.example:0/cb",
        "https://app.example:080/cb",
        "https://app.example:99999/cb",
        // nearly loopback
        "http://127.0.0.2/cb",
        "http://127.1/cb",
        "http://localhost.evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://LOCALHOST/cb",
        "http://[::ffff:127.0.0.1]/cb",
        "http://0.0.0.0/cb",
        "http://localhost:x/cb",
        "http://localhost:/cb",
    ];
    for uri in bad {
        assert!(policy.check(uri).is_err(), "{uri:?} was taken");
    }
    let long = format!("https://app.example/{}", "a".repeat(redirect::MAX_BYTES));
    assert_eq!(policy.check(&long), Err(RedirectError::TooLong));
}

// spec: AS-38
#[test]
fn private_schemes_are_taken_only_when_the_administrator_names_them() {
    let named = |scheme: &str| RedirectPolicy { private_schemes: vec![scheme.into()], ..RedirectPolicy::default() };
    assert_eq!(named("com.example.app").check("com.example.app:/cb"), Ok(()));
    assert_eq!(named("cursor").check("cursor://anysphere.cursor-mcp/oauth/callback"), Ok(()));
    assert_eq!(named("com.example.app").check("com.example.app.evil:/cb"), Err(RedirectError::Scheme));
    assert_eq!(named("com.example.app").check("com.example.app:"), Err(RedirectError::Scheme));
    for never in ["javascript", "JavaScript", "data", "file", "http", "blob"] {
        assert!(named(never).check(&format!("{never}:alert(1)")).is_err(), "{never}");
    }
}

#[test]
fn loopback_only_policy_keeps_remote_hosts_out() {
    let policy = RedirectPolicy { reach: Reach::LoopbackOnly, ..RedirectPolicy::default() };
    assert_eq!(policy.check("http://localhost:1/cb"), Ok(()));
    assert_eq!(policy.check("https://app.example/cb"), Err(RedirectError::NotLoopback));
}

// spec: AS-34, T-11
#[test]
fn near_misses_are_not_the_registered_uri() {
    let registered = "https://app.example/callback?x=1";
    assert!(redirect::matches(registered, registered));
    for near in [
        "",
        "https://app.example/callback",
        "https://app.example/callback?x=1&y=2",
        "https://app.example/callback?x=2",
        "https://app.example/callback?x=1#f",
        "https://app.example/callback/?x=1",
        "https://app.example/callbackk?x=1",
        "https://app.example/Callback?x=1",
        "https://app.example/call%62ack?x=1",
        "https://app.example//callback?x=1",
        "https://app.example/./callback?x=1",
        "https://app.example/x/../callback?x=1",
        "https://app.example:443/callback?x=1",
        "https://app.example:8443/callback?x=1",
        "https://App.example/callback?x=1",
        "HTTPS://app.example/callback?x=1",
        "http://app.example/callback?x=1",
        "https://app.example./callback?x=1",
        "https://app.example.evil.example/callback?x=1",
        "https://evil.example/https://app.example/callback?x=1",
        "https://user@app.example/callback?x=1",
        "https://app.example@evil.example/callback?x=1",
        "https://app.example\\@evil.example/callback?x=1",
        " https://app.example/callback?x=1",
        "https://app.example/callback?x=1 ",
        "https://app.example/callback?x=1\n",
        "https://app.examplе/callback?x=1",
    ] {
        assert!(!redirect::matches(registered, near), "{near:?} matched");
    }
}

// spec: AS-35, AS-36, RFC8252#7.3
#[test]
fn only_the_port_of_a_loopback_uri_may_differ() {
    for (registered, presented) in [
        ("http://127.0.0.1:3000/callback", "http://127.0.0.1:51004/callback"),
        ("http://127.0.0.1/callback", "http://127.0.0.1:51004/callback"),
        ("http://127.0.0.1:3000/callback", "http://127.0.0.1/callback"),
        ("http://[::1]:1/cb?a=b", "http://[::1]:65535/cb?a=b"),
        ("http://localhost:1/cb", "http://localhost:2/cb"),
        ("http://localhost", "http://localhost:2"),
    ] {
        assert!(redirect::matches(registered, presented), "{presented}");
    }
    for (registered, presented) in [
        ("http://localhost/cb", "http://127.0.0.1/cb"),
        ("http://127.0.0.1/cb", "http://localhost/cb"),
        ("http://127.0.0.1/cb", "http://[::1]/cb"),
        ("http://localhost/cb", "https://localhost/cb"),
        ("https://localhost:1/cb", "https://localhost:2/cb"),
        ("http://localhost/cb", "http://localhost:2/other"),
        ("http://localhost/cb", "http://localhost:2/cb/"),
        ("http://localhost/cb", "http://localhost:2/cb?x=1"),
        ("http://localhost/cb", "http://localhost:2/cb#x"),
        ("http://localhost", "http://localhost:2/"),
        ("http://localhost/cb", "http://localhost:2@evil.example/cb"),
        ("http://localhost/cb", "http://localhost:/cb"),
        ("http://localhost/cb", "http://localhost:0/cb"),
        ("http://localhost/cb", "http://localhost:65536/cb"),
        ("http://localhost/cb", "http://localhost:+80/cb"),
        ("http://localhost/cb", "http://localhost:80x/cb"),
        ("http://localhost/cb", "http://localhost.evil.example:2/cb"),
        ("http://localhost/cb", "http://localhost:2\\cb"),
        ("http://localhost/cb", "http://LOCALHOST:2/cb"),
        ("http://localhost/cb", "HTTP://localhost:2/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.2/cb"),
        ("http://app.example:1/cb", "http://app.example:2/cb"),
    ] {
        assert!(!redirect::matches(registered, presented), "{presented} matched {registered}");
    }
}

// spec: AS-139
#[test]
fn destination_is_the_host_a_person_should_look_at() {
    for (uri, destination) in [
        ("https://app.example/cb?x=https://other.example", "app.example"),
        ("https://app.example:8443", "app.example:8443"),
        ("https://app.example?x", "app.example"),
        ("http://[::1]:80/cb", "[::1]:80"),
        ("com.example.app:/cb", "com.example.app"),
        ("cursor://anysphere/x", "cursor"),
    ] {
        assert_eq!(redirect::destination(uri), destination);
    }
}

#[test]
fn parameters_join_whatever_query_is_there() {
    for (uri, joined) in [
        ("https://a.example/cb", "https://a.example/cb?k=v%20%26%C3%A9"),
        ("https://a.example/cb?", "https://a.example/cb?k=v%20%26%C3%A9"),
        ("https://a.example/cb?x=1", "https://a.example/cb?x=1&k=v%20%26%C3%A9"),
        ("https://a.example/cb?x=1&", "https://a.example/cb?x=1&k=v%20%26%C3%A9"),
    ] {
        assert_eq!(redirect::with_query(uri, &[("k", "v &é")]), joined);
    }
}
