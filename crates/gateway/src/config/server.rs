//! One server behind the gateway, from the settings file or, written by `portcullis protect`, from the database.

use std::time::Duration;

use portcullis_base::ServerName;
use portcullis_policy::{Access, AccessEntry};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{External, public_url::is_loopback};

/// A server and who may use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its name in `/mcp/{name}`.
    pub name: ServerName,
    /// Its MCP endpoint.
    #[serde(with = "url_text")]
    pub url: Url,
    /// Who may use it.
    #[serde(default, with = "groups")]
    pub access: Access,
    /// The longest wait for an answer or the next sign of life.
    #[serde(rename = "timeout_ms", with = "millis", default = "default_timeout")]
    pub timeout: Duration,
    /// Whether it may be on a private network: its name may resolve to a private address and plain http is allowed.
    #[serde(default)]
    pub private: bool,
    /// What it is for, in the words of whoever registered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The company's authorization server, when ours does not issue the tokens. Only the settings file names one: the
    /// entry in the database has no place for its secret.
    #[serde(skip)]
    pub authorization: Option<External>,
}

impl Server {
    /// How long a server may stay silent unless its entry says otherwise.
    pub const TIMEOUT: Duration = Duration::from_mins(5);

    /// An entry as the database keeps it.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The entry for the database.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names, texts and numbers have a JSON form")
    }

    /// Checks the URL of a server; the error says what is wrong with it and what to do.
    pub fn check_url(text: &str, private: bool) -> Result<Url, (String, String)> {
        let example = "example: url: https://mcp.example.com/mcp".to_owned();
        let url = Url::parse(text).map_err(|error| (format!("is not a URL ({error})"), example.clone()))?;
        let Some(host) = url.host().filter(|_| matches!(url.scheme(), "http" | "https")) else {
            return Err(("is not an http:// or https:// URL".into(), example));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err((
                "carries a name or password in the URL, where logs and errors would show it".into(),
                "take it out of the URL".into(),
            ));
        }
        if url.fragment().is_some() {
            return Err(("must not have a fragment (#…)".into(), "take the fragment out of the URL".into()));
        }
        // spec: SEC-73: TLS on every hop that leaves the machine, unless the administrator names the network as private.
        if url.scheme() == "http" && !private && !is_loopback(&host) {
            return Err((
                "is plain http to another machine: whoever is in between can read and change the calls".into(),
                "use https://, or allow it for a network of your own: `private: true` in the file, `--private` with protect".into(),
            ));
        }
        Ok(url)
    }

    /// An access list of these groups.
    pub fn access_of<'a>(groups: impl IntoIterator<Item = &'a str>) -> Access {
        let entry = |group: &str| AccessEntry { group: group.into(), allow: Vec::new(), ask: Vec::new() };
        Access { entries: groups.into_iter().map(entry).collect() }
    }

    /// Whether the address guard may let this server be on a private address: named so, or written as loopback.
    pub fn may_be_private(&self) -> bool {
        self.private || self.url.host().is_some_and(|host| is_loopback(&host))
    }
}

fn default_timeout() -> Duration {
    Server::TIMEOUT
}

mod groups {
    use portcullis_policy::{Access, AccessEntry};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Access, to: S) -> Result<S::Ok, S::Error> {
        value.entries.iter().map(|entry| &*entry.group).collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Access, D::Error> {
        let groups = Vec::<String>::deserialize(from)?;
        let entry = |group: String| AccessEntry { group: group.into(), allow: Vec::new(), ask: Vec::new() };
        Ok(Access { entries: groups.into_iter().map(entry).collect() })
    }
}

mod url_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use url::Url;

    pub(super) fn serialize<S: Serializer>(value: &Url, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(value.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
        String::deserialize(from).and_then(|text| Url::parse(&text).map_err(D::Error::custom))
    }
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.as_millis() as u64)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_survives_the_database() {
        let server = Server {
            name: ServerName::parse("acme").expect("name"),
            url: Url::parse("https://mcp.example.com/mcp").expect("url"),
            access: Server::access_of(["ops", "support"]),
            timeout: Duration::from_millis(1500),
            private: true,
            description: Some("tickets".into()),
            authorization: None,
        };
        assert_eq!(Server::from_json(&server.to_json()).expect("json"), server);
        let least = Server::from_json(r#"{"name":"acme","url":"https://mcp.example.com/mcp"}"#).expect("json");
        assert_eq!((least.access, least.timeout, least.private), (Access::default(), Server::TIMEOUT, false));
    }

    // spec: SEC-73
    #[test]
    fn plain_http_leaves_the_machine_only_with_permission() {
        assert!(Server::check_url("http://127.0.0.1:3001/mcp", false).is_ok());
        assert!(Server::check_url("http://localhost:3001/mcp", false).is_ok());
        assert!(Server::check_url("http://mcp.internal:3001/mcp", false).is_err());
        assert!(Server::check_url("http://mcp.internal:3001/mcp", true).is_ok());
        for bad in
            ["mcp.example.com", "file:///etc/passwd", "https://u:p@example.com/", "https://example.com/#x", "https://"]
        {
            assert!(Server::check_url(bad, true).is_err(), "{bad}");
        }
    }
}
