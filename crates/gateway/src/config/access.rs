//! `access_requests` and `break_glass`: how somebody comes by a right that ends.

use std::time::Duration;

use portcullis_policy::Who;
use portcullis_store::WishTerms;

use super::{
    AccessRequests, BreakGlass,
    read::{Node, Section},
    servers::server_name,
};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

pub(super) fn access_requests(mut section: Section<'_>) -> AccessRequests {
    let longest = section.take("longest").duration(HOUR..=366 * DAY, "7d");
    let answer_within = section.take("answer_within").duration(HOUR..=90 * DAY, "7d");
    let terms =
        WishTerms { open: section.take("pending").number(1..=100), hourly: section.take("hourly").number(1..=1000) };
    section.finish();
    AccessRequests { longest, answer_within, terms }
}

/// `None`: there is no glass to break.
pub(super) fn break_glass(node: Node<'_>) -> Option<BreakGlass> {
    if !node.is_given() {
        return None;
    }
    let mut section = node.section();
    let who = section.take("who");
    let example = "[group:on-call]";
    let mut people = Vec::new();
    for item in who.list("a list of people, groups and roles", example) {
        let text = item.text("a person, group or role", "group:on-call");
        match Who::parse(&text) {
            _ if text.is_empty() => {}
            Ok(named @ (Who::Person(_) | Who::Group(_) | Who::Role(_))) => people.push(named),
            Ok(_) => item.problem(
                format!("\"{}\" is no person, group or role", portcullis_base::printable(&text, 60)),
                "in an emergency somebody has to answer for it: name people, groups or roles",
            ),
            Err(wrong) => item.problem(wrong.to_string(), format!("example: who: {example}")),
        }
    }
    if people.is_empty() {
        who.problem("names nobody", "take `break_glass` out, or say who may: who: [group:on-call]");
    }
    let only = section.take("servers");
    let servers = only.is_given().then(|| only.list("a list of servers", "[billing]"));
    let servers = servers.map(|items| items.iter().filter_map(server_name).collect());
    let lasts = section.take("lasts");
    let lasts = if lasts.is_given() { lasts.duration(5 * MINUTE..=4 * HOUR, "1h") } else { HOUR };
    section.finish();
    Some(BreakGlass { who: people, servers, lasts })
}
