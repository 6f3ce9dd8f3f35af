//! What became of a connection that was ended, or of what a provider gave and nobody wanted: forgotten here at once, and
//! taken back at the provider as far as it could be told.

use maud::html;
use portcullis_base::printable;

use super::super::{Account, Page, Room, foreign};

/// What the page shows.
pub struct Ended<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// The server's name here.
    pub server: &'a str,
    /// Where the credential came from.
    pub host: &'a str,
    /// What has ended.
    pub what: What,
    /// Whether its provider knows.
    pub told: Told,
    /// Where the reader goes on: label and path.
    pub onward: (&'a str, &'a str),
}

/// What has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A connection.
    Disconnected,
    /// What a provider gave, before it was kept.
    Declined,
}

/// Whether a provider knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It does: what it gave is good no more.
    Yes,
    /// It has no way to be told.
    NoWay,
    /// It was tried in vain.
    Failed,
    /// It was a key of the person's own; there is nobody to tell.
    Key,
    /// There was nothing left to take back.
    Nothing,
    /// It was not tried: the connection that stays could have ended with it.
    Spared,
}

/// The page after a connection was ended, or never made. spec: UP-47
pub fn ended(view: &Ended<'_>) -> Page {
    let (server, host) = (foreign(view.server), printable(view.host, 253));
    let title = match view.what {
        What::Disconnected => "Disconnected",
        What::Declined => "Not connected",
    };
    Page::within(
        Room::Connections,
        title,
        Some(view.account),
        html! {
            div.narrow {
                @match view.what {
                    What::Disconnected => {
                        h1 { (server) " is disconnected" }
                        p.lead { "This gateway has forgotten what it held. No call uses it any more." }
                    }
                    What::Declined => {
                        h1 { "Nothing was connected" }
                        p.lead { "What came back from the provider was thrown away." }
                    }
                }
                @match view.told {
                    Told::Yes => { div.notice.good role="status" { p { b { (host) " was told." } " What it had given is good no more." } } }
                    Told::NoWay => {
                        div.notice.warn role="status" {
                            p { b { (host) " was not told." } " It offers no way to take back what it gave. That ends by itself; to end it now, remove this gateway from the applications of your account there." }
                        }
                    }
                    Told::Failed => {
                        div.notice.warn role="status" {
                            p { b { (host) " could not be told." } " It did not answer as it should, and what it gave may be good for a while. To end it now, remove this gateway from the applications of your account there." }
                        }
                    }
                    Told::Key => { div.notice.warn role="status" { p { "The key itself is still good. If nothing else uses it, delete it where it was made." } } }
                    Told::Spared => { div.notice.good role="status" { p { "The connection that you have stays as it was. " (host) " was not told, because that could have ended it." } } }
                    Told::Nothing => { div.notice.good role="status" { p { "There was nothing left that the provider had to be told of." } } }
                }
                a.button.wide href=(view.onward.1) { (view.onward.0) }
            }
        },
    )
}
