//! Where a server is: the one thing that every entry says.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use super::OpenApi;

/// Where a server is. In settings and entries its key says which of these it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// `url`: an MCP endpoint.
    #[serde(with = "url_text")]
    Url(Url),
    /// `command`: a program of this machine, and its arguments.
    Command(Vec<String>),
    /// `openapi`: a document that describes an API.
    OpenApi(OpenApi),
}

impl Place {
    /// The URL that it is called at, if it is at one.
    pub fn url(&self) -> Option<&Url> {
        match self {
            Self::Url(url) => Some(url),
            Self::Command(_) => None,
            Self::OpenApi(api) => Some(&api.url),
        }
    }

    /// Program and arguments, if it is run here.
    pub fn command(&self) -> Option<&[String]> {
        match self {
            Self::Command(argv) => Some(argv),
            Self::Url(_) | Self::OpenApi(_) => None,
        }
    }

    /// The document, if it is one.
    pub fn openapi(&self) -> Option<&OpenApi> {
        match self {
            Self::OpenApi(api) => Some(api),
            Self::Url(_) | Self::Command(_) => None,
        }
    }
}

/// As people are shown it: without a query, in which there may be a secret.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) | Self::OpenApi(OpenApi { url, .. }) => f.write_str(&url[..url::Position::AfterPath]),
            // spec: SEC-30: "show the exact command, arguments and environment names without truncation"
            Self::Command(argv) => f.write_str(&argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")),
        }
    }
}

/// A word as it would have to be typed, so that it is plain where one ends and the next begins.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+,%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

pub(super) mod url_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use url::Url;

    pub(in super::super) fn serialize<S: Serializer>(value: &Url, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(value.as_str())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
        String::deserialize(from).and_then(|text| Url::parse(&text).map_err(D::Error::custom))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: SEC-30
    #[test]
    fn command_is_shown_whole_and_says_where_each_word_ends() {
        let command = Place::Command(["npx", "-y", "a b", "it's", "", "; rm"].map(str::to_owned).into());
        assert_eq!(command.to_string(), r"npx -y 'a b' 'it'\''s' '' '; rm'");
    }
}
