//! Areas: for what is counted.

use maud::{Markup, html};

use super::{
    super::number::{count, short},
    BOTTOM, Chart, Look, TOP, axes, figure, percent, px, scale,
};

/// The share of a slot that its bar takes.
const BAR: f64 = 0.76;
/// What is there at all is so high at least.
const SEEN: f64 = 2.0;

/// Bars, one for each slot, in which the series stand on each other.
pub fn stacked(chart: &Chart<'_>) -> Markup {
    let sums = (0..chart.slots.len())
        .map(|at| chart.series.iter().filter_map(|series| value(&series.values, at)).sum::<i64>());
    let top = scale::top(sums.max().unwrap_or_default());
    let high = |value: i64| value as f64 / top as f64 * (BOTTOM - TOP);
    let marks = [0, top / 2, top].map(|mark| (BOTTOM - high(mark), short(mark)));
    let drawing = html! {
        defs { @for series in chart.series { (pattern(chart.id, series.look)) } }
        (axes(&marks, chart.slots))
        @for at in 0..chart.slots.len() { (column(chart, at, &high)) }
    };
    let legend = html! {
        ul.legend {
            @for series in chart.series {
                li {
                    svg width="14" height="14" aria-hidden="true" focusable="false" {
                        rect class={ (series.look.class()) " area" } width="14" height="14" rx="3" fill=[fill(chart.id, series.look)] {}
                    }
                    (series.label) " " b { (count(series.values.iter().flatten().sum())) }
                }
            }
        }
    };
    figure(chart, &legend, &drawing, "")
}

fn value(values: &[Option<i64>], at: usize) -> Option<i64> {
    values.get(at).copied().flatten()
}

fn column(chart: &Chart<'_>, at: usize, high: &impl Fn(i64) -> f64) -> Markup {
    let width = 1.0 / chart.slots.len() as f64;
    let (left, mut floor) = (percent((at as f64 + (1.0 - BAR) / 2.0) * width), BOTTOM);
    let parts: Vec<_> = chart
        .series
        .iter()
        .filter_map(|series| Some((series, value(&series.values, at).filter(|value| *value > 0)?)))
        .collect();
    let words: Vec<_> =
        parts.iter().map(|(series, value)| format!("{} {}", count(*value), series.label.to_lowercase())).collect();
    html! {
        @if !parts.is_empty() {
            g {
                title { (chart.slots[at].name) ": " (words.join(", ")) }
                // The whole height of the slot answers to a pointer.
                rect.hit x=(percent(at as f64 * width)) y=(px(TOP)) width=(percent(width)) height=(px(BOTTOM - TOP)) {}
                @for (series, value) in &parts {
                    @let height = high(*value).max(SEEN);
                    @let y = { floor -= height; floor };
                    rect class={ (series.look.class()) " area" } x=(left) y=(px(y)) width=(percent(BAR * width)) height=(px(height))
                        fill=[fill(chart.id, series.look)] {}
                }
            }
        }
    }
}

/// The area is named by its pattern: its colour comes from the stylesheet.
fn fill(id: &str, look: Look) -> Option<String> {
    (look != Look::Plain).then(|| format!("url(#{id}-{})", look.class()))
}

fn pattern(id: &str, look: Look) -> Markup {
    let class = look.class();
    html! {
        @match look {
            Look::Plain => {}
            Look::Striped => {
                pattern id={ (id) "-" (class) } width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect class={ (class) " ground" } width="6" height="6" {}
                    rect.gap width="2" height="6" {}
                }
            }
            Look::Dotted => {
                pattern id={ (id) "-" (class) } width="6" height="6" patternUnits="userSpaceOnUse" {
                    rect class={ (class) " ground" } width="6" height="6" {}
                    circle.gap cx="3" cy="3" r="1.5" {}
                }
            }
        }
    }
}

/// A small line beside a number: how it came about.
pub fn sparkline(values: &[i64]) -> Markup {
    let most = values.iter().copied().max().unwrap_or_default().max(1) as f64;
    let last = values.len().saturating_sub(1).max(1) as f64;
    let point = |(at, value): (usize, &i64)| {
        format!("{:.2},{:.2}", at as f64 / last * 100.0, 22.0 - *value as f64 / most * 20.0)
    };
    let points: Vec<_> = values.iter().enumerate().map(point).collect();
    html! {
        svg.spark viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            polyline points=(points.join(" ")) vector-effect="non-scaling-stroke" {}
        }
    }
}

/// A part of the greatest one, as a bar that lies beside the number.
pub fn bar(part: i64, most: i64) -> Markup {
    let width = (part as f64 * 100.0 / most.max(1) as f64).clamp(0.0, 100.0);
    html! {
        svg.rank viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            rect.whole-bar width="100" height="6" {}
            rect.part-bar width=(format!("{width:.2}")) height="6" {}
        }
    }
}
