//! Lines: for how long things took. Each mark of the axis is ten times the one below, so that milliseconds and minutes have
//! room in one picture.

use maud::{Markup, html};

use super::{super::number::duration, BOTTOM, Chart, Series, TOP, axes, figure, middle, px, scale};

/// Names at the ends of lines are at least so far apart.
const APART: f64 = 14.0;

/// One line for each series of durations, in microseconds.
pub fn lines(chart: &Chart<'_>) -> Markup {
    let values = || chart.series.iter().flat_map(|series| series.values.iter().flatten().copied());
    let (low, high) = scale::decades(values().min().unwrap_or(1_000), values().max().unwrap_or(1_000));
    let y = |value: i64| {
        let share = ((value.max(1) as f64).log10() - f64::from(low)) / f64::from(high - low);
        BOTTOM - share.clamp(0.0, 1.0) * (BOTTOM - TOP)
    };
    let mark = |power: i32| {
        let value = 10_i64.saturating_pow(power.unsigned_abs());
        (y(value), duration(value).replace(".0\u{a0}", "\u{a0}"))
    };
    let marks: Vec<_> = (low..=high).map(mark).collect();
    let drawing = html! {
        (axes(&marks, chart.slots))
        @for series in chart.series { (line(series, chart, &y)) }
        @for (series, at) in ends(chart.series, &y) {
            text.end x="100%" dx="6" y=(px(at)) { (series.label) }
        }
    };
    let legend = html! {
        ul.legend {
            @for series in chart.series {
                li {
                    svg width="26" height="10" aria-hidden="true" focusable="false" {
                        line class={ (series.look.class()) " line" } x1="0" x2="26" y1="5" y2="5" {}
                    }
                    (series.label)
                }
            }
        }
    };
    figure(chart, &legend, &drawing, "named-lines")
}

fn line(series: &Series, chart: &Chart<'_>, y: &impl Fn(i64) -> f64) -> Markup {
    let of = chart.slots.len();
    let points: Vec<_> = series.values.iter().take(of).map(|value| value.map(|value| (y(value), value))).collect();
    let pieces = points.windows(2).enumerate().filter_map(|(at, two)| Some((at, two[0]?.0, two[1]?.0)));
    html! {
        @for (at, from, to) in pieces {
            line class={ (series.look.class()) " line" } x1=(middle(at, of)) y1=(px(from)) x2=(middle(at + 1, of)) y2=(px(to)) {}
        }
        @for (at, (y, value)) in points.iter().enumerate().filter_map(|(at, point)| Some((at, (*point)?))) {
            g {
                title { (chart.slots[at].name) ": " (series.label) " " (duration(value)) }
                circle class={ (series.look.class()) " point" } cx=(middle(at, of)) cy=(px(y)) r="2.5" {}
                circle.hit cx=(middle(at, of)) cy=(px(y)) r="8" {}
            }
        }
    }
}

/// Where the names of lines stand: at their ends, and none on another.
fn ends<'a>(series: &'a [Series], y: &impl Fn(i64) -> f64) -> Vec<(&'a Series, f64)> {
    let end = |series: &'a Series| Some((series, y(series.values.iter().rev().flatten().copied().next()?) + 4.0));
    let mut ends: Vec<_> = series.iter().filter_map(end).collect();
    // From below: the first series is the lowest one.
    ends.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut below = f64::INFINITY;
    for (_, at) in &mut ends {
        *at = at.min(below - APART);
        below = *at;
    }
    ends
}
