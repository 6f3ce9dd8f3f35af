//! Tables, which a narrow page shows as lists of labelled values.

use maud::{Markup, html};

/// The head of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Its label is in sight.
    Seen(&'static str),
    /// Its label is only heard: the column of buttons.
    Heard(&'static str),
}

/// A table with one row for each of `rows`, which are made of [`cell`] and [`actions`].
pub fn table(label: &str, heads: &[Head], rows: impl IntoIterator<Item = Markup>) -> Markup {
    html! {
        div.card.table-card {
            // The roles keep it a table for those who hear it, also where a narrow page shows it as a list.
            table role="table" aria-label=(label) {
                thead role="rowgroup" {
                    tr role="row" {
                        @for head in heads {
                            th role="columnheader" scope="col" {
                                @match head {
                                    Head::Seen(label) => { (label) }
                                    Head::Heard(label) => { span.visually-hidden { (label) } }
                                }
                            }
                        }
                    }
                }
                tbody role="rowgroup" { @for row in rows { tr role="row" { (row) } } }
            }
        }
    }
}

/// One value, with the label of its column.
pub fn cell(label: &'static str, content: Markup) -> Markup {
    html! { td role="cell" data-label=(label) { div { (content) } } }
}

/// What can be done with the row.
pub fn actions(content: Markup) -> Markup {
    html! { td.action role="cell" { (content) } }
}
