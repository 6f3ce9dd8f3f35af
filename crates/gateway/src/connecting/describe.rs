//! What pages show of a connection: everything but what is sealed, which they are never given.

use portcullis_store::{Connection, ConnectionKind, ConnectionState};
use url::Url;

use crate::{
    config::{Credential, Fallback, HeaderCredential, Holders, IdJagCredential, KeySource},
    connections::{WANTS, explain},
    pages::connections::{Ends, Held, MadeOf, State},
    snapshot::Server,
    upstream::Location,
};

/// A connection as pages show it.
pub fn held(row: &Connection) -> Held {
    Held {
        made_of: match row.kind {
            ConnectionKind::OAuth => MadeOf::SignIn,
            ConnectionKind::Key => MadeOf::Key,
        },
        state: match row.state {
            ConnectionState::Good => State::Good,
            ConnectionState::NeedsSignIn => State::NeedsSignIn(explain(row.why.as_deref().unwrap_or_default())),
        },
        trouble: match (row.state, row.why.as_deref()) {
            (ConnectionState::NeedsSignIn, _) => None,
            (ConnectionState::Good, Some(code)) => Some(explain(code)),
            (ConnectionState::Good, None) => (!row.wants.is_empty()).then(|| explain(WANTS)),
        },
        account: row.account.clone(),
        scopes: row.scopes.clone(),
        connected_at: row.created_at,
        used_at: row.used_at,
        ends: match (row.renew_at, row.expires_at) {
            (Some(_), _) => Ends::Renewed,
            (None, Some(at)) => Ends::At(at),
            (None, None) => Ends::Unknown,
        },
    }
}

/// Where a server is, as pages show it.
pub fn host(server: &Server) -> String {
    let here = match server.location {
        Location::Command { .. } => "a program that this gateway starts for you",
        _ => "in this gateway",
    };
    server.url().and_then(|url| host_of(url.as_str())).unwrap_or_else(|| here.to_owned())
}

/// The host of an address, with its port, as the network knows it: letters of other alphabets in their plain form.
///
/// spec: T-86: "host displayed; punycode shown".
pub fn host_of(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// How a server gets what it wants without anybody connecting anything, in a sentence; `None` if somebody must.
pub fn by_itself(credential: &Credential) -> Option<&'static str> {
    match credential {
        Credential::Header(HeaderCredential { key: KeySource::Settings(_), .. }) => {
            Some("A key of this gateway's settings serves everybody. The server does not see who you are.")
        }
        Credential::ClientCredentials(_) => {
            Some("This gateway signs in there itself. The server sees the gateway, not you.")
        }
        Credential::Exchange(_) | Credential::OnBehalfOf(_) => {
            Some("You act as yourself: your company's sign-in service vouches for you at each use.")
        }
        Credential::IdJag(IdJagCredential { fallback: Fallback::None, .. }) => {
            Some("You act as yourself: your company's sign-in service vouches for you there.")
        }
        Credential::Assertion(_) => Some("You act as yourself: this gateway tells the server who you are."),
        Credential::Auto(_)
        | Credential::OAuth(_)
        | Credential::None
        | Credential::Header(_)
        | Credential::IdJag(_) => None,
    }
}

/// What the kind of a credential means, for administrators.
pub fn meaning(credential: &Credential) -> &'static str {
    match (credential, credential.holders()) {
        (Credential::Auto(_), _) => {
            "Nothing is sent until the server asks for a sign-in. From then on each person connects their own account."
        }
        (Credential::None, _) => "The server gets no credential, whatever it asks for.",
        (Credential::OAuth(_), Some(Holders::Shared)) => {
            "One account serves everybody. An administrator connects it; the server sees that account, not the person."
        }
        (Credential::OAuth(_), _) => "Each person connects their own account by a sign-in at the server's provider.",
        (Credential::Header(_), Some(Holders::Shared)) => {
            "One key serves everybody. An administrator types it on a page."
        }
        (Credential::Header(_), Some(Holders::Each)) => "Each person types a key of their own on a page.",
        (Credential::Header(_), None) => "One key of the settings serves everybody.",
        (Credential::ClientCredentials(_), _) => {
            "The gateway signs in there as itself (client credentials). The server sees the gateway, not the person."
        }
        (Credential::Exchange(_), _) => {
            "The person's own sign-in is exchanged at their provider for a token for this server (RFC 8693)."
        }
        (Credential::OnBehalfOf(_), _) => {
            "The person's own sign-in is exchanged at Entra ID for a token for this server (on behalf of)."
        }
        (Credential::IdJag(_), _) => {
            "The person's provider vouches for them at the server's authorization server (ID-JAG), without a page."
        }
        (Credential::Assertion(_), _) => "The gateway signs a short statement about the person with every call.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: T-86
    #[test]
    fn a_host_is_shown_as_it_is_sent() {
        assert_eq!(host_of("https://mcp.example.com/mcp").as_deref(), Some("mcp.example.com"));
        assert_eq!(host_of("http://127.0.0.1:9000/").as_deref(), Some("127.0.0.1:9000"));
        assert_eq!(
            host_of("https://gіthub.com/").as_deref(),
            Some("xn--gthub-n2e.com"),
            "the second letter is Cyrillic"
        );
        assert_eq!(host_of("data:text/plain,x"), None);
    }
}
