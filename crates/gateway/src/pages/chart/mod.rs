//! Charts, drawn here as SVG and complete without script.
//!
//! Widths are shares of the page, heights and letters are not: a narrow page shows the same chart with the same letters. No
//! colour is the only sign of anything: areas have patterns, lines have dashes and their names at their ends, and the
//! same numbers stand in a table below. How it looks is said by the stylesheet alone (spec: SEC-34: no inline style).

mod bars;
mod lines;
mod scale;

use maud::{Markup, html};

pub use self::{
    bars::{bar, sparkline, stacked},
    lines::lines,
};

/// The height of what is drawn, and where it begins and ends in it.
const HEIGHT: u32 = 216;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 190.0;
/// Where names stand below it.
const FOOT: u32 = 208;

/// What is drawn.
pub struct Chart<'a> {
    /// Its identifier, of its own on the page.
    pub id: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// What is to be seen in it, as a sentence.
    pub said: String,
    /// The times that it goes through.
    pub slots: &'a [Slot],
    /// What is drawn of each.
    pub series: &'a [Series],
    /// The same in a table.
    pub numbers: Markup,
}

/// One of the times.
pub struct Slot {
    /// Its name.
    pub name: String,
    /// What stands below the axis, if anything does.
    pub tick: Option<String>,
}

/// What belongs together.
pub struct Series {
    /// Its name.
    pub label: &'static str,
    /// How it looks.
    pub look: Look,
    /// One number for each time, where there is one.
    pub values: Vec<Option<i64>>,
}

/// How a series looks: each differs from the others without its colour too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A full area, an unbroken line.
    Plain,
    /// A striped area, a dashed line.
    Striped,
    /// A dotted area, a dotted line.
    Dotted,
}

impl Look {
    /// Its class in the stylesheet.
    const fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain-look",
            Self::Striped => "striped-look",
            Self::Dotted => "dotted-look",
        }
    }
}

/// The chart with its name, what is to be seen in it, its legend and its numbers.
fn figure(chart: &Chart<'_>, legend: &Markup, drawing: &Markup, class: &str) -> Markup {
    let Chart { id, title, said, numbers, .. } = chart;
    html! {
        figure.card.chart {
            figcaption {
                h2 { (title) }
                p.small.muted { (said) }
            }
            (legend)
            svg class={ "plot " (class) } height=(HEIGHT) role="img" aria-labelledby={ (id) "-title " (id) "-said" } focusable="false" {
                title id={ (id) "-title" } { (title) }
                desc id={ (id) "-said" } { (said) }
                (drawing)
            }
            details.small {
                summary { "The same as a table" }
                div.numbers.compact { (numbers) }
            }
        }
    }
}

/// Lines across the chart with what they stand for, and the names of times.
fn axes(marks: &[(f64, String)], slots: &[Slot]) -> Markup {
    let ticks = slots.iter().enumerate().filter_map(|(at, slot)| Some((at, slot.tick.as_ref()?)));
    html! {
        @for (y, label) in marks {
            line.grid x1="0" x2="100%" y1=(px(*y)) y2=(px(*y)) {}
            text.axis x="-8" y=(px(y + 4.0)) text-anchor="end" { (label) }
        }
        @for (at, label) in ticks {
            text.axis x=(middle(at, slots.len())) y=(FOOT) text-anchor="middle" { (label) }
        }
    }
}

/// The middle of a slot.
fn middle(at: usize, of: usize) -> String {
    percent((at as f64 + 0.5) / of as f64)
}

fn percent(share: f64) -> String {
    format!("{:.3}%", share * 100.0)
}

fn px(at: f64) -> String {
    format!("{at:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> Vec<Slot> {
        ["01:00", "02:00", "03:00", "04:00"]
            .map(|name| Slot { name: name.into(), tick: (name == "02:00").then(|| "two".into()) })
            .into()
    }

    fn series(label: &'static str, look: Look, values: [i64; 4]) -> Series {
        Series { label, look, values: values.map(|value| (value >= 0).then_some(value)).into() }
    }

    fn drawn(draw: fn(&Chart<'_>) -> Markup, series: &[Series]) -> String {
        let chart = Chart {
            id: "calls",
            title: "Calls",
            said: "Most at three.".into(),
            slots: &slots(),
            series,
            numbers: html! { "numbers" },
        };
        draw(&chart).0
    }

    /// The values of an attribute of all elements of a name in the drawing, in order.
    fn all(markup: &str, element: &str, attribute: &str) -> Vec<String> {
        let markup = markup.split_once("<svg class=\"plot").map_or(markup, |(_, plot)| plot);
        let (open, name) = (format!("<{element}"), format!(" {attribute}=\""));
        let tags = markup.split(&open).skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag);
        let value = |tag: &str| Some(tag.split_once(&name)?.1.split('"').next()?.to_owned());
        tags.filter_map(value).collect()
    }

    #[test]
    fn areas_stand_on_each_other_and_are_as_high_as_their_numbers() {
        let markup = drawn(
            stacked,
            &[
                series("Answered", Look::Plain, [10, 0, 40, 20]),
                series("Failed", Look::Striped, [0, 0, 40, -1]),
                series("Denied", Look::Dotted, [0, 0, 1, 0]),
            ],
        );
        // 81 fits under 100, which is 180 high; nothing is drawn for nothing; one of a hundred is still seen.
        assert_eq!(all(&markup, "rect class=\"plain-look area\"", "height"), ["18.0", "72.0", "36.0"]);
        assert_eq!(all(&markup, "rect class=\"striped-look area\"", "height"), ["72.0"]);
        assert_eq!(all(&markup, "rect class=\"striped-look area\"", "y"), ["46.0"], "on what is below it");
        assert_eq!(all(&markup, "rect class=\"dotted-look area\"", "height"), ["2.0"]);
        assert!(markup.contains("<title>03:00: 40 answered, 40 failed, 1 denied</title>"), "{markup}");
        assert!(
            markup.contains(">100</text>") && markup.contains(">50</text>") && markup.contains(">two</text>"),
            "{markup}"
        );
        assert!(markup.contains("width=\"19.000%\""), "shares of the page: {markup}");
    }

    #[test]
    fn lines_have_gaps_where_nothing_is_known_and_their_names_at_their_ends() {
        let markup = drawn(
            lines,
            &[
                series("median", Look::Plain, [1_000, 10_000, -1, 100_000]),
                series("95 %", Look::Striped, [1_000, 10_000, -1, 100_000]),
            ],
        );
        assert_eq!(all(&markup, "line class=\"plain-look line\"", "x1"), ["12.500%"], "one piece, then a gap");
        assert_eq!(
            all(&markup, "line class=\"plain-look line\"", "y2"),
            ["100.0"],
            "ten times is half of a hundred times"
        );
        assert_eq!(all(&markup, "circle class=\"plain-look", "cx"), ["12.500%", "37.500%", "87.500%"]);
        for label in ["1\u{a0}ms", "10\u{a0}ms", "100\u{a0}ms"] {
            assert!(markup.contains(&format!(">{label}</text>")), "{label}: {markup}");
        }
        // Lines that end together have names that stand apart.
        let ends = all(&markup, "text class=\"end\"", "y");
        assert_eq!(ends.len(), 2);
        let [a, b] = [0, 1].map(|at| ends[at].parse::<f64>().unwrap_or_default());
        assert!((a - b).abs() >= 13.0, "{ends:?}");
    }

    #[test]
    fn charts_of_nothing_are_charts_and_all_can_be_heard() {
        for draw in [stacked as fn(&Chart<'_>) -> Markup, lines] {
            for series in [&[series("none", Look::Plain, [-1; 4])][..], &[series("zero", Look::Plain, [0; 4])], &[]] {
                let markup = drawn(draw, series);
                assert!(!markup.contains("NaN") && !markup.contains("inf"), "{markup}");
                assert!(markup.contains("role=\"img\" aria-labelledby=\"calls-title calls-said\""), "{markup}");
                assert!(markup.contains("<desc id=\"calls-said\">Most at three.</desc>") && markup.contains("numbers"));
                // spec: SEC-34
                assert!(
                    !markup.contains("style=") && !markup.contains("<script") && !markup.contains("<style"),
                    "{markup}"
                );
            }
        }
    }

    #[test]
    fn small_pictures_beside_words_are_not_heard() {
        for markup in [sparkline(&[1, 5, 2]).0, sparkline(&[]).0, bar(1, 2).0, bar(0, 0).0, bar(5, 2).0] {
            assert!(markup.contains("aria-hidden=\"true\"") && !markup.contains("NaN"), "{markup}");
        }
        assert_eq!(all(&bar(1, 4).0, "rect class=\"part-bar\"", "width"), ["25.00"]);
        assert_eq!(all(&bar(5, 4).0, "rect class=\"part-bar\"", "width"), ["100.00"]);
    }
}
