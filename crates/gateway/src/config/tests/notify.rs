//! Who is told of calls that wait.

use insta::assert_snapshot;

use super::*;

const ENVIRONMENT: [(&str, &str); 5] = [
    ("PASSWORD", "hunter2"),
    ("URL", "https://hooks.example.com/T0/B0/hunter3?sig=hunter4"),
    ("HERE", "http://127.0.0.1:9/hunter5"),
    ("KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ("SECRET", "8f742231b10e8888abcd99yyyzzz85a5"),
];

fn read(text: &str) -> Result<Config, String> {
    let loaded = Config::load(&sources(text, &ENVIRONMENT, &[]));
    loaded.map(|loaded| loaded.config).map_err(|problems| problems.to_string())
}

fn refused(text: &str) -> String {
    let problems = read(text).expect_err("accepted");
    assert!(!problems.contains("hunter") && !problems.contains("8f742231"), "{problems}");
    problems
}

#[test]
fn channels_are_read() {
    let text = "notify:\n  smtp: { server: smtp.example.com, security: tls, from: a@example.com }\n  slack: { webhook: env:URL }\n  teams: { webhook: env:URL }\n  webhooks: [{ name: pager, decision_secret: env:KEY }]\n";
    let notify = read(text).unwrap().notify;
    let smtp = notify.smtp.as_ref().unwrap();
    assert_eq!((smtp.server.as_str(), smtp.security), ("https://smtp.example.com:465/", MailSecurity::Tls));
    let slack = notify.slack.as_ref().unwrap();
    assert!(matches!(slack.way, SlackWay::Webhook(_)) && slack.answers.is_none());
    assert_eq!(slack.arguments, Arguments::Kept);
    assert!(notify.webhooks[0].told.is_none() && notify.webhooks[0].decisions.is_some());
    let shown = format!("{notify:?}");
    assert!(!shown.contains("hunter") && !shown.contains("MfKQ"), "{shown}");

    let server = |server: &str| {
        let smtp = format!("notify: {{ smtp: {{ server: {server}, from: a@example.com }} }}\n");
        read(&smtp).unwrap().notify.smtp.unwrap().server.to_string()
    };
    assert_eq!(server("mail.example.com"), "https://mail.example.com:587/");
    assert_eq!(server("mail.example.com:25"), "https://mail.example.com:25/");
}

// spec: T-85
#[test]
fn what_could_not_work_or_would_be_unsafe_is_refused() {
    assert_snapshot!(refused("notify:\n  smtp:\n    server: mail.example.com\n    security: none\n    from: nobody\n    user: x\n"), @r#"
    portcullis.yaml:4: notify.smtp.security: is none, and the mail server is on another machine: whoever is in between can read mails and password
        use starttls or tls; none is for a mail server on this machine
    portcullis.yaml:5: notify.smtp.from: "nobody" is not an address
        example: from: Portcullis <portcullis@example.com>
    portcullis.yaml:6: notify.smtp.user: is of no use without `password`
        write password: env:SMTP_PASSWORD beside it
    "#);
    assert_snapshot!(refused("notify:\n  smtp:\n    server: 127.0.0.1:25\n    security: none\n    from: a@example.com\n    pasword: env:PASSWORD\n"), @r#"
    portcullis.yaml:3: notify.smtp.server: is at 127.0.0.1:25, a private address, which the gateway asks only where it is named
        outbound: { private_hosts: ["127.0.0.1:25"] }
    portcullis.yaml:6: notify.smtp.pasword: unknown key; did you mean "password"?
        known here: security, server, from, user, password
    "#);
    assert_snapshot!(refused("notify:\n  slack:\n    webhook: https://hooks.slack.com/x\n    channel: C0\n    people: { U01: ana }\n  teams: { webhook: env:HERE }\n"), @r#"
    portcullis.yaml:3: notify.slack.webhook: a secret must not stand in the file itself
        write webhook: env:NAME to take it from an environment variable, or file:PATH to take it from a file
        example: webhook: env:SLACK_WEBHOOK
    portcullis.yaml:4: notify.slack.channel: is not for kind webhook
        a webhook has its channel; only a bot is told which one; take it out
    portcullis.yaml:5: notify.slack.people: is of no use without `signing_secret`: nobody can tell whether a click is Slack's
        write signing_secret: env:SLACK_SIGNING_SECRET beside it
    portcullis.yaml:6: notify.teams.webhook: is at 127.0.0.1:9, a private address, which the gateway asks only where it is named
        outbound: { private_hosts: ["127.0.0.1:9"] }
    "#);
    assert_snapshot!(refused("notify:\n  slack:\n    signing_secret: env:SECRET\n    people: { ana: ana }\n    by_email: true\n"), @r#"
    portcullis.yaml:2: notify.slack: must say how messages get there
        write webhook: env:SLACK_WEBHOOK, or bot_token: env:SLACK_BOT_TOKEN and channel: C0123456789
    portcullis.yaml:4: notify.slack.people.ana: "ana" is not the identifier of a member
        copy it from the profile: U0123456789; names there can be changed by anybody
    portcullis.yaml:5: notify.slack.by_email: asks Slack for addresses, which a webhook cannot
        use bot_token and channel
    portcullis.yaml:5: notify.slack.by_email: takes the word of a workspace for who somebody is, so it has to be said which one
        write team: and the identifier of your workspace
    "#);
    assert_snapshot!(refused("notify:\n  slack: { bot_token: env:SECRET, channel: C0, signing_secret: env:PASSWORD }\n"), @"
    portcullis.yaml:2: notify.slack.signing_secret: what it refers to is shorter than 16 characters
        copy the signing secret from the basic information of the app
    portcullis.yaml:2: notify.slack.signing_secret: is there, and nobody is known whose clicks would count
        example: people: { U0123456789: alice }
    ");
    assert_snapshot!(refused("notify:\n  webhooks:\n    - name: slack\n    - name: Pager\n      url: http://pager.example.com\n      secret: env:SECRET\n    - name: a\n      url: https://a.example.com/?x=1\n      secret: env:KEY\n      decision_secret: env:KEY\n    - name: a\n      decision_secret: env:KEY\n"), @r#"
    portcullis.yaml:3: notify.webhooks[0].name: is where Slack's clicks come to
        give it another name
    portcullis.yaml:3: notify.webhooks[0]: is neither told nor heard
        write url: and secret:, or decision_secret:, or all three
    portcullis.yaml:4: notify.webhooks[1].name: "Pager" is not an id: use 1 to 32 of a-z, 0-9 and "-"
        example: id: pager
    portcullis.yaml:5: notify.webhooks[1].url: is plain http to another machine: whoever is in between can read what waits
        write an https:// URL; http is for a program on this machine
    portcullis.yaml:10: notify.webhooks[2].decision_secret: is the one that messages to it are signed with
        make another one for decisions
    portcullis.yaml:11: notify.webhooks[3].name: names a second webhook
        give each a name of its own
    "#);
}
