//! `audit.sinks`: where the record goes besides the journal.

use std::{path::PathBuf, time::Duration};

use http::HeaderName;
use portcullis_audit::{
    Kind,
    format::{Contents, Format, SMALLEST},
};
use portcullis_base::{Secret, printable};
use portcullis_policy::nearest;
use url::Url;

use super::{
    Tls,
    issuers::{Asked, url},
    more::tls,
    notify::hook_key,
    providers::identifier,
    public_url::is_loopback,
    read::{Node, Section},
    telemetry::headers,
};
use crate::hook_signature::HookKey;

/// What checkpoints are called in the journal.
const CHECKPOINT: &str = "checkpoint";
/// The usual port of syslog over TLS.
const SYSLOG: u16 = 6514;

/// Somebody who is sent the record.
#[derive(Clone, Debug)]
pub struct Sink {
    /// Its name, which no other has.
    pub name: String,
    /// Who, and how.
    pub to: SinkTo,
    /// In which form.
    pub format: Format,
    /// The beginnings of the kinds of events that are sent; none: all, and checkpoints.
    pub events: Vec<String>,
    /// Whether arguments and results go along.
    pub contents: Contents,
}

/// Who is sent the record, and how.
#[derive(Clone, Debug)]
pub enum SinkTo {
    /// A file.
    File {
        /// Where it is.
        path: PathBuf,
        /// When another one is begun.
        rotation: Rotation,
    },
    /// A receiver of logs over OTLP/HTTP.
    Otlp {
        /// Its URL, path and all.
        url: String,
        /// What every request there has besides.
        headers: Vec<(HeaderName, Secret)>,
        /// Certificates for it.
        tls: Tls,
    },
    /// A syslog server.
    Syslog {
        /// Its address, as an https URL: host and port.
        server: Url,
        /// How the connection is secured.
        security: SyslogSecurity,
        /// Certificates for it.
        tls: Tls,
        /// Messages are cut to so many bytes.
        size: usize,
    },
    /// A program that takes signed batches.
    Webhook {
        /// Its URL.
        url: String,
        /// What they are signed with.
        key: HookKey,
        /// Certificates for it.
        tls: Tls,
    },
}

/// How a connection to a syslog server is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogSecurity {
    /// By TLS, from the first byte.
    Tls,
    /// Not at all, which is for this machine only.
    None,
}

/// When another file is begun, and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// At so many bytes.
    pub size: u64,
    /// After this long.
    pub age: Option<Duration>,
    /// So many older ones stay.
    pub keep: u32,
}

#[derive(Clone, Copy)]
enum KindOfSink {
    File,
    Otlp,
    Syslog,
    Webhook,
}

pub(super) fn sinks<'a>(node: &Node<'a>, asked: &mut Asked<'a>) -> Vec<Sink> {
    let mut sinks: Vec<Sink> = Vec::new();
    for item in node.list("a list of receivers", "[{ name: siem, kind: file, path: /var/log/portcullis/audit.jsonl }]")
    {
        let read = sink(item.section(), &sinks, asked);
        sinks.extend(read);
    }
    sinks
}

fn sink<'a>(mut section: Section<'a>, others: &[Sink], asked: &mut Asked<'a>) -> Option<Sink> {
    let name_node = section.take("name");
    let name = identifier(&name_node, "a name", "siem");
    if others.iter().any(|other| Some(&other.name) == name.as_ref()) {
        // By its name, what it was sent is remembered.
        name_node.problem("names a second receiver", "give each a name of its own");
    }
    let kind = section.take("kind").choice_of(&[
        ("otlp", KindOfSink::Otlp),
        ("syslog", KindOfSink::Syslog),
        ("webhook", KindOfSink::Webhook),
        ("file", KindOfSink::File),
    ]);
    let format_node = section.take("format");
    let format = if format_node.is_given() {
        format_node.choice(&[("json", Format::Json), ("cef", Format::Cef), ("ocsf", Format::Ocsf)])
    } else {
        Format::default()
    };
    let events = events(&section.take("events"));
    let arguments = section.take("arguments");
    let contents = if arguments.is_given() && arguments.switch() { Contents::Sent } else { Contents::Left };
    let to = match kind {
        Some(KindOfSink::File) => Some(file(&mut section)),
        Some(KindOfSink::Otlp) => otlp(&mut section, asked),
        Some(KindOfSink::Syslog) => syslog(&mut section, asked),
        Some(KindOfSink::Webhook) => webhook(&mut section, asked),
        // Which keys it may have is not known.
        None => return None,
    };
    section.finish();
    Some(Sink { name: name?, to: to?, format, events, contents })
}

fn events(node: &Node<'_>) -> Vec<String> {
    let events = node.texts("a list of kinds of events", "[call., signin.failed]");
    let kinds = || Kind::ALL.iter().map(|kind| kind.as_str()).chain([CHECKPOINT]);
    for text in events.iter().filter(|text| !text.is_empty() && !kinds().any(|kind| kind.starts_with(text.as_str()))) {
        let near = nearest(text, kinds()).map(|kind| format!("did you mean \"{kind}\"?\n")).unwrap_or_default();
        node.problem(
            format!("no kind of event begins with \"{}\"", printable(text, 60)),
            format!("{near}example: events: [call., signin.failed]"),
        );
    }
    events
}

fn file(section: &mut Section<'_>) -> SinkTo {
    const MIB: usize = 1 << 20;
    const DAY: Duration = Duration::from_hours(24);
    let path = section.take("path").file_path("/var/log/portcullis/audit.jsonl");
    let mut rotate = section.take("rotate").section();
    let (size, age, keep) = (rotate.take("size"), rotate.take("age"), rotate.take("keep"));
    let rotation = Rotation {
        size: if size.is_given() { size.size(64 << 10..=1 << 40, "100MiB") } else { 100 * MIB } as u64,
        age: age.is_given().then(|| age.duration(Duration::from_mins(1)..=366 * DAY, "24h")),
        keep: if keep.is_given() { keep.number(1..=10_000) } else { 10 },
    };
    rotate.finish();
    SinkTo::File { path, rotation }
}

fn otlp<'a>(section: &mut Section<'a>, asked: &mut Asked<'a>) -> Option<SinkTo> {
    let url = receiver(section, "https://otel.example.com/v1/logs", asked);
    let headers = headers(&section.take("headers"));
    let tls = tls(section.take("tls"), None);
    Some(SinkTo::Otlp { url: url?, headers, tls })
}

fn webhook<'a>(section: &mut Section<'a>, asked: &mut Asked<'a>) -> Option<SinkTo> {
    let url = receiver(section, "https://siem.example.com/audit", asked);
    let key = hook_key(&section.take("secret"), "env:SIEM_SECRET");
    let tls = tls(section.take("tls"), None);
    Some(SinkTo::Webhook { url: url?, key: key?, tls })
}

fn receiver<'a>(section: &mut Section<'a>, example: &str, asked: &mut Asked<'a>) -> Option<String> {
    let node = section.take("url");
    if !node.is_given() {
        node.problem("is missing: expected where it is received", format!("example: url: {example}"));
    }
    let plain = |url: &Url| url.scheme() == "http" && !url.host().is_some_and(|host| is_loopback(&host));
    if node.as_text().and_then(|text| Url::parse(text).ok()).as_ref().is_some_and(plain) {
        node.problem(
            "is plain http to another machine: whoever is in between can read and change the record",
            "use its https:// URL; http is for a receiver on this machine",
        );
        return None;
    }
    url(node, example, asked)
}

fn syslog<'a>(section: &mut Section<'a>, asked: &mut Asked<'a>) -> Option<SinkTo> {
    let (server_node, security_node) = (section.take("server"), section.take("security"));
    let security = if security_node.is_given() {
        security_node.choice(&[("tls", SyslogSecurity::Tls), ("none", SyslogSecurity::None)])
    } else {
        SyslogSecurity::Tls
    };
    let server = server(&server_node);
    if let Some(server) = &server {
        if security == SyslogSecurity::None && !server.host().is_some_and(|host| is_loopback(&host)) {
            security_node.problem(
                "is none, and the server is on another machine: whoever is in between can read and change the record",
                "use tls; none is for a server on this machine",
            );
        }
        asked.add(server_node, server.clone());
    }
    let tls_node = section.take("tls");
    if security == SyslogSecurity::None && tls_node.is_given() {
        tls_node.problem("is of no use with `security: none`", "take one of them out");
    }
    let tls = tls(tls_node, None);
    let size = section.take("size");
    let size = if size.is_given() { size.size(SMALLEST..=1 << 20, "64KiB") } else { 8 << 10 };
    Some(SinkTo::Syslog { server: server?, security, tls, size })
}

fn server(node: &Node<'_>) -> Option<Url> {
    let example = "siem.example.com:6514";
    let text = node.text("the syslog server", example);
    if text.is_empty() {
        return None;
    }
    // Nothing of it is https; but host and port are written and checked as there.
    let plain = !text.contains(['/', '@', '?', '#']);
    let mut url = plain.then(|| Url::parse(&format!("https://{text}")).ok()).flatten();
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if let Some(url) = url.as_mut().filter(|_| !has_port) {
        let _ = url.set_port(Some(SYSLOG));
    }
    if url.is_none() {
        node.problem(
            format!("\"{}\" is not a host", printable(&text, 60)),
            format!("write a host, with its port unless that is {SYSLOG}\nexample: server: {example}"),
        );
    }
    url
}
