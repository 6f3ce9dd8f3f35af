//! Calls, approvals and times, as pictures and as tables.

use maud::{Markup, html};
use portcullis_base::Timestamp;
use portcullis_store::{Counts, Histogram};

use super::{
    super::super::{
        chart::{self, Chart, Look, Series, Slot},
        moment,
        number::{count, counted, duration},
        table::{Head, cell, table},
    },
    trail,
};
use crate::insight::{DAY, HOUR, Insight, Span, day};

/// Names below an axis, at most.
const TICKS: i64 = 6;
/// How far apart they may stand, in hours.
const STEPS: [i64; 13] = [1, 2, 4, 6, 12, 24, 48, 120, 168, 336, 672, 1344, 2688];

/// All of them.
pub(super) fn charts(insight: &Insight) -> Markup {
    let slots = slots(&insight.span);
    html! {
        section aria-labelledby="over-time" {
            h2.large id="over-time" { "Over time" }
            div.charts {
                (calls(insight, &slots))
                (latency(insight, &slots))
                (approvals(insight, &slots))
            }
        }
    }
}

/// The names of the slots; every so many stand below the axis.
fn slots(span: &Span) -> Vec<Slot> {
    let whole = span.until.as_millis() - span.since.as_millis();
    let step = STEPS.into_iter().map(|hours| hours * HOUR).find(|step| *step >= span.slot && whole / step <= TICKS);
    let step = step.unwrap_or(whole);
    // Hours are counted from midnight, days from the first one that is there.
    let first = day(Timestamp::from_millis(span.since.as_millis() + DAY - 1));
    let is_named = |at: Timestamp| (at.as_millis() - first.as_millis()) % step == 0;
    let name = |at| if span.slot < DAY { moment::minute(at) } else { moment::day(at) };
    let tick = |at: Timestamp| if day(at) == at { moment::short_day(at) } else { moment::clock(at) };
    span.slots().map(|at| Slot { name: name(at), tick: is_named(at).then(|| tick(at)) }).collect()
}

fn of(insight: &Insight, label: &'static str, look: Look, number: fn(&Counts) -> i64) -> Series {
    Series { label, look, values: insight.over_time.iter().map(|(_, counts)| Some(number(counts))).collect() }
}

/// The name of a slot, which leads to what happened in it.
fn slot_cell(insight: &Insight, at: Timestamp, slot: &Slot, kind: &str) -> Markup {
    let until = Timestamp::from_millis(at.as_millis() + insight.span.slot);
    cell("From", html! { a href=(trail(at, until, &[("kind", kind)])) { (slot.name) } })
}

fn calls(insight: &Insight, slots: &[Slot]) -> Markup {
    let series = [
        of(insight, "Answered", Look::Plain, |counts| counts.succeeded),
        of(insight, "Errors", Look::Striped, Counts::errors),
        of(insight, "Denied", Look::Dotted, Counts::refused),
    ];
    let busiest = insight.over_time.iter().zip(slots).max_by_key(|((_, counts), _)| counts.calls());
    let most = busiest.filter(|((_, counts), _)| counts.calls() > 0);
    let said = most.map(|((_, counts), slot)| {
        let total = &insight.total;
        format!(
            "{}: {}, {} denied. Most of them from {} on: {}.",
            counted(total.calls(), "call"),
            counted(total.errors(), "error"),
            count(total.refused()),
            slot.name,
            count(counts.calls())
        )
    });
    let heads = ["From", "Calls", "Answered", "Errors", "Denied"].map(Head::Seen);
    let rows = insight.over_time.iter().zip(slots).map(|((at, counts), slot)| {
        html! {
            (slot_cell(insight, *at, slot, "call."))
            (cell("Calls", html! { (count(counts.calls())) }))
            (cell("Answered", html! { (count(counts.succeeded)) }))
            (cell("Errors", html! { (count(counts.errors())) }))
            (cell("Denied", html! { (count(counts.refused())) }))
        }
    });
    chart::stacked(&Chart {
        id: "calls",
        title: "Calls",
        said: said.unwrap_or_else(|| "No calls.".into()),
        slots,
        series: &series,
        numbers: table("Calls", &heads, rows),
    })
}

fn approvals(insight: &Insight, slots: &[Slot]) -> Markup {
    let series = [
        of(insight, "Granted", Look::Plain, |counts| counts.approvals_granted),
        of(insight, "Refused", Look::Striped, |counts| counts.approvals_refused),
        of(insight, "Expired", Look::Dotted, |counts| counts.approvals_expired),
    ];
    let total = &insight.total;
    let said = format!(
        "{} asked for: {} granted, {} refused, {} expired.",
        counted(total.approvals_asked, "approval"),
        count(total.approvals_granted),
        count(total.approvals_refused),
        count(total.approvals_expired)
    );
    let heads = ["From", "Asked for", "Granted", "Refused", "Expired"].map(Head::Seen);
    let rows = insight.over_time.iter().zip(slots).map(|((at, counts), slot)| {
        html! {
            (slot_cell(insight, *at, slot, "approval."))
            (cell("Asked for", html! { (count(counts.approvals_asked)) }))
            (cell("Granted", html! { (count(counts.approvals_granted)) }))
            (cell("Refused", html! { (count(counts.approvals_refused)) }))
            (cell("Expired", html! { (count(counts.approvals_expired)) }))
        }
    });
    let numbers = table("Approvals", &heads, rows);
    chart::stacked(&Chart { id: "approvals", title: "Approvals", said, slots, series: &series, numbers })
}

/// Shares of calls that took no longer.
const SHARES: [(&str, f64, Look); 3] =
    [("Median", 0.5, Look::Plain), ("95\u{a0}%", 0.95, Look::Striped), ("99\u{a0}%", 0.99, Look::Dotted)];

fn latency(insight: &Insight, slots: &[Slot]) -> Markup {
    let series = SHARES.map(|(label, share, look)| Series {
        label,
        look,
        values: insight.latency.iter().map(|(_, histogram)| histogram.quantile(share)).collect(),
    });
    let told = |histogram: &Histogram, share| histogram.quantile(share).map_or_else(|| "–".into(), duration);
    let all = &insight.latency_total;
    let said = match all.calls() {
        0 => "No call has ended.".into(),
        _ => format!(
            "Half of the calls took no longer than {}, 95\u{a0}% no longer than {}, 99\u{a0}% no longer than {}. Each mark is ten times the one below it.",
            told(all, 0.5),
            told(all, 0.95),
            told(all, 0.99)
        ),
    };
    let heads = ["From", "Ended", "Median", "95\u{a0}%", "99\u{a0}%"].map(Head::Seen);
    let rows = insight.latency.iter().zip(slots).map(|((at, histogram), slot)| {
        html! {
            (slot_cell(insight, *at, slot, "call.ended"))
            (cell("Ended", html! { (count(histogram.calls())) }))
            @for (label, share, _) in SHARES { (cell(label, html! { (told(histogram, share)) })) }
        }
    });
    let numbers = table("Time of a call", &heads, rows);
    chart::lines(&Chart { id: "latency", title: "Time of a call", said, slots, series: &series, numbers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::Wanted;

    #[test]
    fn axes_have_few_names_at_round_times() {
        let now = Timestamp::parse("2026-11-24T09:30:00Z").unwrap_or(Timestamp::from_millis(0));
        for (range, from, to, ticks) in [
            ("24h", "", "", "12:00 16:00 20:00 Nov 24 04:00 08:00"),
            ("7d", "", "", "Nov 18 Nov 20 Nov 22 Nov 24"),
            ("30d", "", "", "Oct 26 Oct 31 Nov 5 Nov 10 Nov 15 Nov 20"),
            ("", "2026-11-24", "", "Nov 24 04:00 08:00 12:00 16:00 20:00"),
            ("", "2026-11-23", "2026-11-24", "Nov 23 12:00 Nov 24 12:00"),
            ("", "2026-10-01", "2026-10-01", "Oct 1 04:00 08:00 12:00 16:00 20:00"),
            ("", "2025-01-01", "2025-12-31", "Jan 1 Feb 26 Apr 23 Jun 18 Aug 13 Oct 8 Dec 3"),
        ] {
            let wanted = Wanted { range: range.into(), from: from.into(), to: to.into() };
            let slots = Span::of(&wanted, now).map(|span| slots(&span)).unwrap_or_default();
            let found: Vec<_> = slots.into_iter().filter_map(|slot| slot.tick).collect();
            assert_eq!(found.join(" "), ticks, "{range} {from} {to}");
        }
    }
}
