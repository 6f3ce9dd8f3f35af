//! Where somebody goes on who connects on the way to something else: to the application that waits for their consent.
//!
//! It is a path of ours that finishes an approval, or nothing. Whether there is such an approval, and whose, is looked at
//! there and not here.

use http::HeaderMap;
use portcullis_base::ServerName;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    app::App,
    authorization::approval::Approval,
    connect_link::{CONNECTIONS, with_way_on},
    pages::connections,
    return_to::ReturnTo,
};

/// Where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Onward(Option<String>);

impl Onward {
    /// spec: T-13: only where an approval goes on.
    pub fn parse(text: &str) -> Self {
        let path = ReturnTo::parse(text);
        Self(path.finishes().map(|_| path.as_str().to_owned()))
    }

    /// The path, if there is one.
    pub fn path(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// For the pages.
    pub fn shown(&self) -> Option<connections::Onward<'_>> {
        self.path().map(|path| connections::Onward { path })
    }

    /// Where the client waits to which a form leads through us, as a content security policy writes it.
    pub fn form_target(&self, app: &App, headers: &HeaderMap) -> Option<String> {
        let approval = Approval::waiting(app, headers, &ReturnTo::parse(self.path()?))?;
        Some(approval.form_target())
    }

    /// Where the browser goes when all is done.
    pub fn done(&self, word: &str, server: &ServerName) -> String {
        self.path().map_or_else(|| format!("{CONNECTIONS}?done={word}&server={server}"), str::to_owned)
    }

    /// `page`, keeping the way on.
    pub fn keep(&self, page: &str) -> String {
        match self.path() {
            None => page.to_owned(),
            Some(path) => with_way_on(page, path),
        }
    }
}

impl<'de> Deserialize<'de> for Onward {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Option::<String>::deserialize(from).map(|text| text.as_deref().map(Self::parse).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::return_to::finish_at;

    // spec: T-13
    #[test]
    fn the_way_on_is_an_approval_of_ours_or_none() {
        let finish = finish_at("abc");
        assert_eq!(Onward::parse(&finish).path(), Some(finish.as_str()));
        assert_eq!(
            Onward::parse(&finish).keep("/connections/x"),
            "/connections/x?return_to=%2Foauth%2Fauthorize%2Ffinish%3Ft%3Dabc"
        );
        for other in ["/", "/account", "https://evil.example", "//evil.example/oauth/authorize/finish?t=abc", ""] {
            assert_eq!(Onward::parse(other), Onward::default(), "{other}");
        }
        let server = ServerName::parse("x").unwrap();
        assert_eq!(Onward::default().done("connected", &server), "/connections?done=connected&server=x");
        assert_eq!(Onward::parse(&finish).done("connected", &server), finish);
        let kept = serde_json::to_string(&Onward::parse(&finish)).unwrap();
        assert_eq!(serde_json::from_str::<Onward>(&kept).unwrap(), Onward::parse(&finish));
    }
}
