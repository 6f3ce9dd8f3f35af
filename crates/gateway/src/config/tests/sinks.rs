//! `audit.sinks`: what is refused when it is loaded, and with which words.

use portcullis_audit::format::{Contents, Format};

use super::*;

fn sink(text: &str) -> String {
    format!("audit:\n  sinks:\n    - {text}\n")
}

// spec: T-100
#[test]
fn receivers_at_addresses_that_are_not_reached_are_refused() {
    for (text, at) in [
        ("{ name: a, kind: otlp, url: \"http://127.0.0.1:4318/v1/logs\" }", "127.0.0.1:4318"),
        ("{ name: a, kind: otlp, url: \"https://169.254.169.254/v1/logs\" }", "169.254.169.254:443"),
        ("{ name: a, kind: syslog, server: \"10.0.0.7\" }", "10.0.0.7:6514"),
        ("{ name: a, kind: syslog, server: \"169.254.169.254:80\" }", "169.254.169.254:80"),
    ] {
        let said = problems(&sink(text));
        assert!(said.contains(at) && said.contains("a private address"), "{said}");
        let named = format!("{}outbound: {{ private_hosts: [\"{at}\"] }}\n", sink(text));
        assert_eq!(good(&named).sinks.len(), 1);
    }
    assert_snapshot!(problems(&sink("{ name: a, kind: otlp, url: \"http://otel.example.com/v1/logs\" }")), @r#"
    portcullis.yaml:3: audit.sinks[0].url: is plain http to another machine: whoever is in between can read and change the record
        use its https:// URL; http is for a receiver on this machine
    "#);
}

// spec: T-100
#[test]
fn contents_leave_only_where_the_settings_say_so() {
    let text = sink(
        "{ name: a, kind: file, path: /a }\n    - { name: b, kind: file, path: /b, arguments: true, format: cef }",
    );
    let sinks = good(&text).sinks;
    assert_eq!((sinks[0].contents, sinks[1].contents), (Contents::Left, Contents::Sent));
    assert_eq!((sinks[0].format, sinks[1].format), (Format::Json, Format::Cef));
}

#[test]
fn mistakes_are_told_with_their_place() {
    let text = "audit:
  sinks:
    - { name: a, kind: sylog }
    - { name: A b, kind: file, path: /a, events: [call, sign-in.] }
    - { name: c, kind: file, path: /c, rotate: { size: 1B, keep: 0, sise: 1 } }
    - { name: c, kind: otlp, headers: { \"no header\": env:HOME } }
    - { name: d, kind: webhook, url: https://siem.example.com/audit, secret: env:SHORT }
    - { name: e, kind: syslog, server: syslog://x, security: none, size: 100B, tls: {} }
    - { name: f, kind: syslog, server: siem.example.com, security: none }
";
    let refused = Config::load(&sources(text, &[("SHORT", "c2hvcnQ="), ("HOME", "x")], &[]));
    assert_snapshot!(refused.expect_err("refused").to_string(), @r#"
    portcullis.yaml:3: audit.sinks[0].kind: expected one of otlp, syslog, webhook, file, found "sylog"
        did you mean "syslog"?
    portcullis.yaml:4: audit.sinks[1].name: "A b" is not an id: use 1 to 32 of a-z, 0-9 and "-"
        example: id: siem
    portcullis.yaml:4: audit.sinks[1].events: no kind of event begins with "sign-in."
        example: events: [call., signin.failed]
    portcullis.yaml:5: audit.sinks[2].rotate.size: expected a size from 64KiB to 1024GiB, found "1B"
        example: size: 100MiB
    portcullis.yaml:5: audit.sinks[2].rotate.keep: expected a whole number from 1 to 10000, found the number 0
        example: keep: 1
    portcullis.yaml:5: audit.sinks[2].rotate.sise: unknown key; did you mean "size"?
        known here: size, age, keep
    portcullis.yaml:6: audit.sinks[3].name: names a second receiver
        give each a name of its own
    portcullis.yaml:6: audit.sinks[3].url: is missing: expected where it is received
        example: url: https://otel.example.com/v1/logs
    portcullis.yaml:6: audit.sinks[3].headers.no header: "no header" is not the name of a header
        write the name alone, such as Authorization
    portcullis.yaml:7: audit.sinks[4].secret: what it refers to is not 24 to 64 bytes in base64, with or without whsec_ before it
        make a new one, such as: openssl rand -base64 32
    portcullis.yaml:8: audit.sinks[5].server: "syslog://x" is not a host
        write a host, with its port unless that is 6514
        example: server: siem.example.com:6514
    portcullis.yaml:8: audit.sinks[5].tls: is of no use with `security: none`
        take one of them out
    portcullis.yaml:8: audit.sinks[5].size: expected a size from 2KiB to 1MiB, found "100B"
        example: size: 64KiB
    portcullis.yaml:9: audit.sinks[6].security: is none, and the server is on another machine: whoever is in between can read and change the record
        use tls; none is for a server on this machine
    "#);
}
