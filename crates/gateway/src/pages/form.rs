//! What forms are made of.

use maud::{Markup, html};

use super::Account;

/// A labelled field.
pub(super) fn field(id: &str, label: &str, input: Markup) -> Markup {
    html! {
        div.field {
            label for=(id) { (label) }
            (input)
        }
    }
}

/// The value that proves where the form came from.
pub(super) fn proof(account: Account<'_>) -> Markup {
    html! { input type="hidden" name="form_token" value=(account.form_token); }
}

/// A button that does one thing, as a form of its own.
pub(super) struct Button<'a> {
    /// Where it goes.
    pub action: &'a str,
    /// What stands on it.
    pub label: &'a str,
    /// What it says to those who do not see its surroundings.
    pub spoken: &'a str,
    /// How it looks: `danger`, `quiet`, `small-button`.
    pub look: &'static str,
}

impl Button<'_> {
    /// The form, with hidden fields.
    pub fn form(&self, account: Account<'_>, hidden: &[(&str, &str)]) -> Markup {
        html! {
            form method="post" action=(self.action) {
                (proof(account))
                @for (name, value) in hidden { input type="hidden" name=(name) value=(value); }
                button class=(self.look) type="submit" aria-label=(self.spoken) { (self.label) }
            }
        }
    }
}

/// A text to be copied: selectable as a whole, with a button where scripts run.
pub(super) fn copyable(id: &str, text: &str) -> Markup {
    html! {
        div.copyable {
            code.whole id=(id) { (text) }
            button.small-button type="button" data-copy=(id) hidden { "Copy" }
        }
    }
}
