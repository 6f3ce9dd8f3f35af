//! Requests at the endpoints of an authorization server, with the proof of who sends them.

use bytes::Bytes;
use http::StatusCode;
use portcullis_base::{Secret, token};
use portcullis_oauth::{
    client::AuthMethod,
    jwks::SigningKey,
    upstream::{
        client as law, same_origin,
        token::{self as grants, AnswerError, ClientProof as Proof, Grant, ProviderClient, Refused, TokenForm, Tokens},
    },
};
use ring::rand::SystemRandom;
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};

use super::{
    Authority,
    client::{ClientAt, Way},
};
use crate::{
    config::{ClientKey, ClientProof, Credential, OAuthClient},
    outbound::{Ask, Outbound, Reach},
    snapshot::Server,
    system,
    upstream::Location,
};

/// Why a request brought nothing. The texts are for the log and for administrators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    /// The authorization server said no.
    #[error("{place} refused: {why}")]
    Refused {
        /// Where.
        place: String,
        /// What it said.
        why: Refused,
    },
    /// It gave something that is not to be used.
    #[error("{0}")]
    Unusable(String),
    /// It did not answer, or with a failure of its own.
    #[error("{0}")]
    NoAnswer(String),
    /// We cannot prove who we are.
    #[error("{0}")]
    Ourselves(String),
}

/// A proof for one request.
enum Shown {
    Nothing,
    Basic(Secret),
    Post(Secret),
    Assertion(Secret),
}

impl Shown {
    fn as_proof(&self) -> Proof<'_> {
        match self {
            Self::Nothing => Proof::Public,
            Self::Basic(secret) => Proof::Basic(secret),
            Self::Post(secret) => Proof::Post(secret),
            Self::Assertion(assertion) => Proof::Assertion(assertion),
        }
    }
}

impl Authority {
    /// Asks for tokens at `place` as `client`.
    pub(super) async fn ask(
        &self,
        server: Option<&Server>,
        client: &ClientAt,
        place: &str,
        grant: &Grant<'_>,
    ) -> Result<Tokens, AskError> {
        let shown = self.show(server, client)?;
        let form = grants::form(&ProviderClient { id: &client.client_id, proof: shown.as_proof() }, grant);
        let body = self.post(server, place, form).await?;
        read(place, grants::parse(&body))
    }

    /// Gives something up at `place` as `client`.
    pub(super) async fn give_up(
        &self,
        server: Option<&Server>,
        client: &ClientAt,
        place: &str,
        what: grants::Revoke<'_>,
    ) -> Result<(), AskError> {
        let shown = self.show(server, client)?;
        let form = grants::revocation(&ProviderClient { id: &client.client_id, proof: shown.as_proof() }, what);
        let (status, body) = self.send(server, place, form).await?;
        match status {
            status if status.is_success() => Ok(()),
            _ => Err(AskError::Refused { place: place.to_owned(), why: grants::refusal(&body) }),
        }
    }

    /// The client for what a server, or an authorization server it names, has at `url`. A server that may be on a private
    /// network may have what it says of itself there too, at its own origin and nowhere else.
    ///
    /// spec: SEC-10, SEC-11, T-28
    pub(super) fn reaching(&self, server: Option<&Server>, url: &str) -> Outbound {
        let mut outbound = self.outbound.clone();
        let Some(Location::Url { url: own, reach, egress }) = server.map(|server| &server.location) else {
            return outbound;
        };
        if !same_origin(own.as_str(), url) {
            return outbound;
        }
        let parsed = url::Url::parse(url).ok();
        let place = parsed.as_ref().and_then(|url| url.host_str().zip(url.port_or_known_default()));
        if let Some((host, port)) = place.filter(|_| *reach == Reach::Private) {
            outbound = outbound.reaching(host, port);
        }
        match egress.certificates() {
            Some(certificates) => outbound.with_certificates(certificates),
            None => outbound,
        }
    }

    async fn post(&self, server: Option<&Server>, place: &str, form: TokenForm) -> Result<Bytes, AskError> {
        self.send(server, place, form).await.map(|(_, body)| body)
    }

    /// The answer, good or bad, unless the other side failed.
    async fn send(
        &self,
        server: Option<&Server>,
        place: &str,
        form: TokenForm,
    ) -> Result<(StatusCode, Bytes), AskError> {
        let ask = Ask::form(place, form.body.reveal().to_owned(), grants::MAX_BYTES);
        let ask = ask.authorized(form.authorization.clone());
        let fetched = self.reaching(server, place).fetch(ask).await;
        let fetched = fetched.map_err(|error| AskError::NoAnswer(format!("{place}: {}", error.detail())))?;
        match fetched.status {
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(AskError::NoAnswer(format!("{place} answered {status}")))
            }
            status => Ok((status, form.hushed(&fetched.body).map_or(fetched.body, Bytes::from))),
        }
    }

    /// How `client` proves itself this time. spec: UP-21: what the settings hold is for their issuer and no other.
    fn show(&self, server: Option<&Server>, client: &ClientAt) -> Result<Shown, AskError> {
        let by_secret = |secret: &Secret| match client.method {
            AuthMethod::ClientSecretPost => Shown::Post(secret.clone()),
            _ => Shown::Basic(secret.clone()),
        };
        match &client.way {
            Way::Document => self.sign(None, client).map(Shown::Assertion),
            Way::Dynamic { .. } if client.method == AuthMethod::PrivateKeyJwt => {
                self.sign(None, client).map(Shown::Assertion)
            }
            Way::Dynamic { secret } => Ok(secret.as_ref().map_or(Shown::Nothing, by_secret)),
            Way::Configured => {
                let named = server.and_then(|server| theirs(server, &client.issuer));
                let Some(named) = named.filter(|named| named.id == client.client_id) else {
                    let ClientAt { client_id, issuer, .. } = client;
                    let text = format!("the settings do not name the client {client_id} of {issuer} any more");
                    return Err(AskError::Ourselves(text));
                };
                match &named.proof {
                    ClientProof::None => Ok(Shown::Nothing),
                    ClientProof::Secret { secret, .. } => Ok(by_secret(secret)),
                    ClientProof::Key(ClientKey::Own) => self.sign(None, client).map(Shown::Assertion),
                    ClientProof::Key(ClientKey::Pem { pem, id }) => {
                        let key = key(pem, id.as_deref()).map_err(AskError::Ourselves)?;
                        self.sign(Some(&key), client).map(Shown::Assertion)
                    }
                }
            }
        }
    }

    fn sign(&self, key: Option<&SigningKey>, client: &ClientAt) -> Result<Secret, AskError> {
        let now = self.clock.now();
        let signing = self.signing.load();
        let Some(key) = key.or_else(|| signing.current(now)) else {
            return Err(AskError::Ourselves("there is no key to sign with".into()));
        };
        let jti = token::<16>(&*self.rng);
        let signed = law::assertion(key, &client.client_id, &client.issuer, &jti, now);
        signed.map_err(|error| AskError::Ourselves(error.to_string()))
    }
}

/// The client that the settings of this moment name for `issuer`: what was made at another one gets none of it.
///
/// spec: UP-13, UP-21
fn theirs<'a>(server: &'a Server, issuer: &str) -> Option<&'a OAuthClient> {
    let oauth = server.credential.oauth()?;
    let whose = match (&oauth.issuer, &*server.credential) {
        (Some(issuer), _) => issuer,
        // An address without an issuer stands for itself.
        (None, Credential::ClientCredentials(own)) => own.token_endpoint.as_ref()?,
        (None, _) => return None,
    };
    oauth.client.as_ref().filter(|_| whose == issuer)
}

/// A key of the settings.
pub(super) fn key(pem: &Secret, id: Option<&str>) -> Result<SigningKey, String> {
    const ADVICE: &str = "client_key must be an EC P-256 key as PKCS#8 PEM: `openssl genpkey -algorithm EC -pkeyopt \
                          ec_paramgen_curve:P-256`";
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.reveal().as_bytes()).map_err(|_| ADVICE.to_owned())?;
    let key = SigningKey::from_pkcs8(der.secret_pkcs8_der(), random()).map_err(|_| ADVICE.to_owned())?;
    Ok(match id {
        Some(id) => key.named(id),
        None => key,
    })
}

fn random() -> SystemRandom {
    system::random()
}

/// What an answer says, by who is to do something about it.
pub(super) fn read<T>(place: &str, parsed: Result<T, AnswerError>) -> Result<T, AskError> {
    parsed.map_err(|error| match error {
        AnswerError::Refused(Refused::Temporary(code)) => AskError::NoAnswer(format!("{place} answered {code}")),
        AnswerError::Refused(why) => AskError::Refused { place: place.to_owned(), why },
        AnswerError::Malformed => AskError::NoAnswer(format!("{place}: {error}")),
        AnswerError::TokenType | AnswerError::IssuedType => AskError::Unusable(format!("{place}: {error}")),
    })
}
