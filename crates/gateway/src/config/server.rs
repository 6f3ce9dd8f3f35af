//! One server behind the gateway, from the settings file or, written by `portcullis protect`, from the database.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use http::HeaderName;
use portcullis_base::{Secret, ServerName};
use portcullis_policy::Access;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{
    Credential, Environment, External, Granted, Place, Problems, Process, ServerAudit, cautions, more,
    public_url::is_loopback,
};
use crate::tools::Verdicts;

/// A server and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name in `/mcp/{name}`.
    pub name: ServerName,
    /// Where it is.
    pub place: Place,
    /// Who may use it.
    pub access: Access,
    /// The longest wait for an answer or the next sign of life.
    pub timeout: Duration,
    /// Whether it may be on a private network: its name may resolve to a private address and plain http is allowed.
    pub private: bool,
    /// What it is for, in the words of whoever registered it.
    pub description: Option<String>,
    /// The company's authorization server, when ours does not issue the tokens. Only the settings file names one.
    pub authorization: Option<External>,
    /// How the gateway proves on whose behalf it calls.
    pub credential: Credential,
    /// Headers that every request to it has.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Headers of the client's request that go on to it.
    pub request_headers: Vec<HeaderName>,
    /// Certificates.
    pub tls: Tls,
    /// Exchanges with it at one time.
    pub concurrent: u32,
    /// Whose its tool list is.
    pub tools: ToolList,
    /// What its processes may see and take, if it is a command.
    pub process: Process,
    /// How it is spoken to.
    pub speaks: Speaks,
    /// What it may ask of clients, and tell them.
    pub allow: Allow,
    /// What its tools are, where their definitions say something else.
    pub risk: Verdicts,
    /// What of its calls is recorded.
    pub audit: ServerAudit,
}

/// Certificates for one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Its authority, as PEM: this one alone is believed.
    pub ca_file: Option<PathBuf>,
    /// What the gateway shows.
    pub client: Option<ClientCertificate>,
}

/// A certificate of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and those between it and its authority, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: Secret,
}

/// Whose a server's tool list is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolList {
    /// Each person's own, as their rights there make it.
    #[default]
    Personal,
    /// The same for everybody, and no secret: it is shown to people who are not connected too.
    Public,
}

/// What a server of the revisions with sessions may ask of clients, and tell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allow {
    /// Their models.
    pub sampling: bool,
    /// Their roots.
    pub roots: bool,
    /// Those of their roots that are paths of their machines.
    pub files: bool,
    /// Its log.
    pub logging: bool,
}

impl Allow {
    /// For a server elsewhere.
    // spec: BR-76: "default: pass logging, refuse sampling and roots for remote upstreams"
    pub const REMOTE: Self = Self { sampling: false, roots: false, files: false, logging: true };
    /// For a process of ours.
    pub const LOCAL: Self = Self { sampling: true, roots: true, files: true, logging: true };
}

impl Default for Allow {
    fn default() -> Self {
        Self::REMOTE
    }
}

/// How a server at a URL is spoken to.
// spec: TR-125: "let an administrator pin it"
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speaks {
    /// As it answers when it is asked.
    #[default]
    Auto,
    /// In requests that stand alone, from 2026-07-28.
    Stateless,
    /// In sessions over Streamable HTTP, up to 2025-11-25.
    Sessions,
    /// In sessions over HTTP+SSE, the transport of 2024-11-05.
    Sse,
}

/// A server as `portcullis protect` writes it into the database. What a setting means is read as from the file, so that
/// both say the same; a secret stands in it by reference only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: ServerName,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// Groups that may use it.
    #[serde(default = "everyone")]
    pub access: Vec<Granted>,
    /// The longest wait.
    #[serde(rename = "timeout_ms", with = "millis", default = "default_timeout")]
    pub timeout: Duration,
    /// Whether it may be on a private network.
    #[serde(default)]
    pub private: bool,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `credential`, `headers`, `request_headers`, `tls`, `limits`, `tools`, `speaks`, `allow`, `risk`,
    /// `audit`, as the settings file writes them.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

impl Entry {
    /// An entry as the database keeps it.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The entry for the database.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names, texts and numbers have a JSON form")
    }

    /// The server that it stands for, with every reference to a secret followed.
    pub fn server(&self, environment: &Environment) -> Result<Server, Problems> {
        let more = serde_json::to_string(&self.more).expect("what was read as JSON has a JSON form");
        let place = more::Around {
            url: self.place.url(),
            command: self.place.command(),
            // Where that is, whoever starts it knows.
            data: None,
            private: self.private,
            providers: None,
        };
        let more = more::of_entry(&format!("the entry of {}", self.name), &more, &place, environment)?;
        Ok(Server {
            tools: more.tools_of(&self.place),
            name: self.name.clone(),
            place: self.place.clone(),
            access: Access::of(self.access.iter().map(Granted::entry).collect()),
            timeout: self.timeout,
            private: self.private,
            description: self.description.clone(),
            authorization: None,
            credential: more.credential,
            headers: more.headers,
            request_headers: more.request_headers,
            tls: more.tls,
            concurrent: more.concurrent,
            process: more.process,
            speaks: more.speaks,
            allow: more.allow,
            risk: more.risk,
            audit: more.audit,
        })
    }
}

impl Server {
    /// How long a server may stay silent unless its entry says otherwise.
    pub const TIMEOUT: Duration = Duration::from_mins(5);

    /// Exchanges with one server at one time, unless its entry says otherwise.
    pub const CONCURRENT: u32 = 64;

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

    /// What is allowed but deserves a thought, as sentences.
    pub fn cautions(&self) -> Vec<String> {
        cautions::of_server(self)
    }

    /// Whether the address guard may let this server be on a private address: named so, or written as loopback.
    pub fn may_be_private(&self) -> bool {
        self.private || self.place.url().is_some_and(Self::is_on_this_machine)
    }

    pub(super) fn is_on_this_machine(url: &Url) -> bool {
        url.host().is_some_and(|host| is_loopback(&host))
    }
}

fn everyone() -> Vec<Granted> {
    vec![Granted::Safely("*".into())]
}

fn default_timeout() -> Duration {
    Server::TIMEOUT
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
    use portcullis_policy::AccessEntry;

    use super::*;

    #[test]
    fn server_survives_the_database() {
        let entry = Entry {
            name: ServerName::parse("acme").expect("name"),
            place: Place::Url(Url::parse("https://mcp.example.com/mcp").expect("url")),
            access: vec![Granted::Safely("ops".into()), Granted::Safely("support".into())],
            timeout: Duration::from_millis(1500),
            private: true,
            description: Some("tickets".into()),
            more: BTreeMap::from([("credential".to_owned(), serde_json::json!("none"))]),
        };
        assert_eq!(Entry::from_json(&entry.to_json()).expect("json"), entry);
        let server = entry.server(&Environment::default()).expect("server");
        let safe = Access::of(vec![AccessEntry::safe("ops"), AccessEntry::safe("support")]);
        assert_eq!((server.access, server.credential), (safe, Credential::None));
        let least = Entry::from_json(r#"{"name":"acme","url":"https://mcp.example.com/mcp"}"#).expect("json");
        let least = least.server(&Environment::default()).expect("server");
        assert_eq!((least.access, least.timeout, least.private), (Access::default(), Server::TIMEOUT, false));
        assert_eq!((least.credential, least.concurrent), (Credential::default(), Server::CONCURRENT));
        let named = r#"{"name":"acme","url":"https://mcp.example.com/mcp","access":["a",{"group":"b","allow":["*"]}]}"#;
        let named = Entry::from_json(named).expect("json");
        assert_eq!(Entry::from_json(&named.to_json()).expect("json"), named);
        let named = named.server(&Environment::default()).expect("server").access;
        assert_eq!(named.entries, [AccessEntry::safe("a"), AccessEntry::open("b")]);
        let odd = r#"{"name":"acme","url":"https://mcp.example.com/mcp","credentail":"none"}"#;
        let refused = Entry::from_json(odd).expect("json").server(&Environment::default()).expect_err("refused");
        assert!(refused.to_string().contains("did you mean \"credential\"?"), "{refused}");
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
