//! Where a sign-in leads to, and how fresh it must be: what every page of it hands on to the next.
//!
//! None of it is believed. Where it leads is a path of ours (T-13), and whoever demands freshness looks at the sign-in itself
//! when it is there; a demand that somebody took out of an address is made again.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::{identity::Fresh, return_to::ReturnTo};

/// What a page of the sign-in hands on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Way {
    /// Where it leads.
    #[serde(default)]
    pub return_to: ReturnTo,
    /// How old the person's proof of who they are may be.
    #[serde(default)]
    pub max_age: Option<Seconds>,
    /// Which kinds of it are strong enough.
    #[serde(default)]
    pub acr: Option<String>,
}

/// A number of seconds, as text: also within a form that is read as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub u64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl Way {
    /// Whether somebody who is signed in must sign in again.
    pub fn demands(&self) -> bool {
        self.max_age.is_some() || self.acr.is_some()
    }

    /// What the provider is asked for. Whoever must show more than they have shown shows it anew: a provider that knows them
    /// would say again what it said before.
    pub fn fresh(&self) -> Option<Fresh> {
        self.demands().then(|| Fresh {
            max_age: self.max_age.map_or(Duration::ZERO, |Seconds(seconds)| Duration::from_secs(seconds)),
            acr: self.acr.iter().flat_map(|text| text.split_ascii_whitespace()).map(str::to_owned).collect(),
        })
    }

    /// As names and values of a query or of hidden fields.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![("return_to", self.return_to.as_str().to_owned())];
        fields.extend(self.max_age.map(|Seconds(seconds)| ("max_age", seconds.to_string())));
        fields.extend(self.acr.clone().map(|acr| ("acr", acr)));
        fields
    }

    /// As a query.
    pub fn query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(self.fields()).finish()
    }

    /// The address at which a provider's sign-in starts.
    pub fn start(&self, provider: &str) -> String {
        format!("/login/{provider}?{}", self.query())
    }

    /// The same for somebody whose address there is known.
    pub fn start_as(&self, provider: &str, login_hint: &str) -> String {
        let hint: String = url::form_urlencoded::byte_serialize(login_hint.as_bytes()).collect();
        format!("{}&login_hint={hint}", self.start(provider))
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Query;
    use http::Uri;

    use super::*;

    // spec: T-13
    #[test]
    fn a_way_is_handed_on_whole_and_never_leads_away() {
        let read = |query: &str| {
            let uri: Uri = format!("/login?{query}").parse().unwrap();
            Query::<Way>::try_from_uri(&uri).map(|Query(way)| way)
        };
        let way = read("return_to=%2Fa%3Fb%3Dc%26d&max_age=0&acr=phr+phrh").unwrap();
        assert_eq!(way.return_to.as_str(), "/a?b=c&d");
        assert_eq!(read(&way.query()).unwrap(), way);
        let fresh = way.fresh().unwrap();
        assert_eq!((fresh.max_age, fresh.acr), (Duration::ZERO, vec!["phr".to_owned(), "phrh".to_owned()]));
        assert_eq!(read("acr=phr").unwrap().fresh().unwrap().max_age, Duration::ZERO);
        assert_eq!(read("").unwrap(), Way::default());
        assert!(Way::default().fresh().is_none());
        for evil in ["//evil.example", "https://evil.example", "/\\evil.example", "/login?return_to=/"] {
            let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", evil).finish();
            assert_eq!(read(&query).unwrap().start("company"), "/login/company?return_to=%2F", "{evil}");
        }
        assert!(read("max_age=-1").is_err());
    }
}
