//! `telemetry`: what is told of what goes on, and whom.

use http::HeaderName;
use portcullis_base::{Secret, printable};

use super::{
    issuers::{Asked, url},
    read::{Node, Section},
};
use crate::telemetry::{Lines, Settings};

const EXAMPLE: &str = "https://otel.example.com/v1/traces";

/// What is told, and who is told of traces.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// What is told.
    pub settings: Settings,
    /// Who is told of traces, if they are recorded.
    pub traces: Option<Traces>,
    /// The form of the log.
    pub log: LogFormat,
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// The URL of an OTLP receiver of traces.
    pub url: String,
    /// What every request there has besides.
    pub headers: Vec<(HeaderName, Secret)>,
}

/// The form of lines in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For programs: one object a line.
    Json,
}

pub(super) fn telemetry<'a>(mut section: Section<'a>, asked: &mut Asked<'a>) -> Telemetry {
    let mut metrics = section.take("metrics").section();
    let tools = metrics.take("tools").number(0..=10_000) as usize;
    metrics.finish();
    let node = section.take("traces");
    let (traces, sample) = if node.is_given() { traces(node, asked) } else { (None, None) };
    let requests = if section.take("requests").switch() { Lines::Written } else { Lines::Off };
    let log =
        section.take("log").choice(&[("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)]);
    section.finish();
    Telemetry { settings: Settings { tools, requests, sample }, traces, log }
}

fn traces<'a>(node: Node<'a>, asked: &mut Asked<'a>) -> (Option<Traces>, Option<f64>) {
    let mut section = node.section();
    let url_node = section.take("otlp");
    if !url_node.is_given() {
        url_node.problem("is missing: expected where traces are received", format!("example: otlp: {EXAMPLE}"));
    }
    let url = url(url_node, EXAMPLE, asked);
    let headers = headers(&section.take("headers"));
    let sample = section.take("sample");
    let sample = if sample.is_given() { share(&sample) } else { Some(0.1) };
    section.finish();
    (url.map(|url| Traces { url, headers }), sample)
}

/// Headers whose values are secrets.
pub(super) fn headers(node: &Node<'_>) -> Vec<(HeaderName, Secret)> {
    let entries = node.entries("{ Authorization: env:OTLP_AUTHORIZATION }");
    entries.iter().filter_map(|(name, value)| header(name, value)).collect()
}

fn header(text: &str, value: &Node<'_>) -> Option<(HeaderName, Secret)> {
    let name = HeaderName::from_bytes(text.trim().as_bytes()).ok();
    if name.is_none() {
        value.problem(
            format!("\"{}\" is not the name of a header", printable(text, 60)),
            "write the name alone, such as Authorization",
        );
    }
    let secret = value.secret("env:OTLP_AUTHORIZATION")?;
    if http::HeaderValue::try_from(secret.reveal()).is_err() {
        value.problem("stands for a text that cannot be in a header", "take line ends out of it");
        return None;
    }
    Some((name?, secret))
}

/// A share of all, from 0 to 1.
fn share(node: &Node<'_>) -> Option<f64> {
    let share = node.json().and_then(|text| text.trim_matches('"').parse::<f64>().ok());
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    if share.is_none() {
        node.problem("is not a share: expected a number from 0 to 1", "example: sample: 0.1");
    }
    share
}
