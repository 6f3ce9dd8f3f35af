//! The authorization server of a company in front of one of our endpoints: its tokens open that endpoint, and no others do.
//!
//! A token is checked by the server's keys, or by asking the server (RFC 7662), and remembered for a minute at most; its end
//! is looked at on every use. Whom it speaks of is a person that the gateway knows, if the server is a provider that people
//! sign in with: then the account counts, and one that is switched off stays out (spec: T-53). Anybody else acts with the
//! name and the groups that the token gives, under the rules, as a person whose identifier is made of issuer and subject.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use portcullis_base::{ClientId, Digest, GrantId, PersonId, Secret, ServerName, Timestamp};
use portcullis_oauth::{
    bearer::Denied,
    external::{self as law, ExternalToken, MAX_ANSWER_BYTES, Rule},
    jwt::{MAX_BYTES, Unverified},
    relying::profile::Groups,
    scope::Scopes,
};
use portcullis_policy::Kind;
use portcullis_store::Store;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;
use url::form_urlencoded;

use crate::{
    caller::{Caller, Renewal},
    config::{self, ExternalKeys},
    fresh::SignIn,
    outbound::Ask,
    roles::{Appointments, Roles},
    snapshot::Person,
    trusted_issuer::{Reaching, TrustedIssuer},
};

/// What was found out about a token is good for so long.
const REMEMBERED: Duration = Duration::from_mins(1);
/// Tokens that are remembered, good or not, per endpoint.
const TOKENS: usize = 10_000;
/// Questions to an introspection endpoint at the same time; whoever comes on top waits.
const QUESTIONS: usize = 16;

/// How long a question waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// The authorization server of one endpoint.
pub struct External {
    settings: config::External,
    audience: String,
    issuer: TrustedIssuer,
    reaching: Reaching,
    store: Store,
    appointments: Appointments,
    tokens: Cache<Digest, Arc<Judged>>,
    questions: Semaphore,
}

/// What was found out about a token.
struct Judged {
    /// Until when that counts.
    until: Timestamp,
    /// Who calls with it; nobody if it is no good.
    known: Option<Known>,
}

struct Known {
    whom: Whom,
    name: Arc<str>,
    groups: Arc<[Arc<str>]>,
    client: ClientId,
    scopes: Scopes,
    expires_at: Timestamp,
    sign_in: Option<SignIn>,
}

/// Why nothing could be found out about a token: for the log.
struct Unknown(String);

enum Whom {
    /// Somebody with an account.
    Person(PersonId),
    /// Somebody without.
    Stranger(PersonId),
}

/// The authorization servers that the settings name, by the server in front of which each stands.
#[derive(Default)]
pub struct Externals(HashMap<ServerName, External>);

impl Externals {
    /// All of `config`. Nothing is asked of them yet.
    pub fn new(config: &config::Config, appointments: &Appointments, reaching: &Reaching, store: &Store) -> Self {
        let external = |server: &config::Server| {
            let settings = server.authorization.clone()?;
            let endpoint = config.server_url(&server.name);
            let external = External::new(settings, &endpoint, appointments.clone(), reaching.clone(), store.clone());
            Some((server.name.clone(), external))
        };
        Self(config.servers.iter().filter_map(external).collect())
    }

    /// The one in front of this server; `None` if our own tokens open it.
    pub fn get(&self, server: &ServerName) -> Option<&External> {
        self.0.get(server)
    }
}

impl External {
    fn new(
        settings: config::External,
        endpoint: &str,
        appointments: Appointments,
        reaching: Reaching,
        store: Store,
    ) -> Self {
        let jwks_uri = match &settings.keys {
            ExternalKeys::Jwks(url) => url.as_deref(),
            ExternalKeys::Introspection { .. } => None,
        };
        Self {
            audience: settings.audience.clone().unwrap_or_else(|| endpoint.to_owned()),
            issuer: TrustedIssuer::new(&settings.issuer, jwks_uri),
            settings,
            reaching,
            store,
            appointments,
            tokens: Cache::new(TOKENS),
            questions: Semaphore::new(QUESTIONS),
        }
    }

    /// Its name, as the metadata of the endpoint gives it.
    pub fn issuer(&self) -> &str {
        self.issuer.issuer()
    }

    /// Who calls with `token`.
    pub async fn caller(&self, token: &str, people: &HashMap<PersonId, Arc<Person>>) -> Result<Caller, Denied> {
        let judged = self.judged(token).await.ok_or(Denied::InvalidToken)?;
        // spec: RS-19, T-39: `exp` is looked at on every use, remembered or not.
        let now = self.reaching.clock.now();
        let known = judged.known.as_ref().filter(|known| now < known.expires_at).ok_or(Denied::InvalidToken)?;
        let (person, name, kind, groups, account) = match &known.whom {
            Whom::Stranger(id) => (id, known.name.clone(), Kind::Person, known.groups.clone(), Roles::default()),
            Whom::Person(id) => {
                // spec: T-53
                let person = people.get(id).filter(|person| !person.shut_out).ok_or(Denied::InvalidToken)?;
                (id, person.name.clone(), person.kind(), together(&person.groups, &known.groups), person.roles)
            }
        };
        let roles = self.appointments.of(&groups).and(account);
        if !roles.admit() {
            return Err(Denied::InvalidToken);
        }
        Ok(Caller {
            person: person.clone(),
            name,
            kind,
            groups,
            roles,
            client: known.client.clone(),
            // No grant of ours stands behind it: this name joins what one person does through one client.
            grant: GrantId::new(format!("ext_{}", name_of(&[person.as_str(), known.client.as_str()]))),
            scopes: known.scopes.clone(),
            expires_at: known.expires_at,
            sign_in: known.sign_in.clone(),
            labels: Arc::default(),
            renewal: Renewal::Elsewhere,
        })
    }

    /// What is known of a token; found out by the first who asks, waited for by everybody else who shows the same one. `None`
    /// if it could not be found out now, which is not remembered.
    async fn judged(&self, token: &str) -> Option<Arc<Judged>> {
        let digest = Digest::of(token.as_bytes());
        let now = self.reaching.clock.now();
        if let Some(judged) = self.tokens.get(&digest) {
            if now < judged.until {
                return Some(judged);
            }
            self.tokens.remove(&digest);
        }
        let found = self.tokens.get_or_insert_async(&digest, async {
            let known = self.find_out(token, now).await?;
            let until = now.plus(REMEMBERED);
            let until = known.as_ref().map_or(until, |known| known.expires_at.min(until));
            Ok(Arc::new(Judged { until, known }))
        });
        found.await.inspect_err(|Unknown(why)| tracing::warn!(issuer = self.issuer(), why, "token not checked")).ok()
    }

    async fn find_out(&self, token: &str, now: Timestamp) -> Result<Option<Known>, Unknown> {
        let rule = Rule {
            issuer: self.issuer(),
            audience: &self.audience,
            algorithms: &self.settings.algorithms,
            claims: &self.settings.claims,
            now,
        };
        let verified = match &self.settings.keys {
            ExternalKeys::Jwks(_) => {
                // Nothing is asked for because of a token that could not be good.
                let Ok(presented) = Unverified::split_foreign(token, MAX_BYTES) else { return Ok(None) };
                if presented.claimed("iss") != Some(self.issuer()) {
                    return Ok(None);
                }
                let keys = self.issuer.keys(presented.kid.as_deref(), &self.reaching).await;
                let keys = keys.ok_or_else(|| Unknown("the issuer's keys cannot be had".into()))?;
                law::verify(token, &keys, &rule)
            }
            ExternalKeys::Introspection { url, client_id, client_secret } => {
                let answer = self.introspect(token, url, client_id, client_secret).await?;
                law::introspected(&answer, &rule)
            }
        };
        match verified {
            Ok(token) => self.known(token).await,
            Err(why) => {
                tracing::info!(issuer = self.issuer(), %why, "token refused");
                Ok(None)
            }
        }
    }

    /// spec: RFC7662#2.1
    async fn introspect(&self, token: &str, url: &str, id: &str, secret: &Secret) -> Result<Bytes, Unknown> {
        let turn = tokio::time::timeout(PATIENCE, self.questions.acquire()).await;
        let _turn = turn.map_err(|_| Unknown("too many questions at once".into()))?;
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = Secret::new(format!("{}:{}", encode(id), encode(secret.reveal())));
        let basic = Secret::new(format!("Basic {}", STANDARD.encode(pair.reveal())));
        let form = format!("token={}&token_type_hint=access_token", encode(token));
        let ask = Ask::form(url, form, MAX_ANSWER_BYTES).authorized(Some(basic));
        match self.reaching.outbound.fetch(ask).await {
            Ok(fetched) if fetched.status.is_success() => Ok(fetched.body),
            Ok(fetched) => Err(Unknown(format!("introspection answered {}", fetched.status))),
            Err(error) => Err(Unknown(error.detail().to_owned())),
        }
    }

    async fn known(&self, token: ExternalToken) -> Result<Option<Known>, Unknown> {
        let identity = self.store.identity(self.issuer(), &token.subject).await;
        let whom = match identity.map_err(|error| Unknown(error.to_string()))? {
            Some(identity) => Whom::Person(identity.person),
            None => Whom::Stranger(stranger(self.issuer(), &token.subject)),
        };
        // spec: T-52: groups that the token left out are not no groups; a rule that denies by group must not be missed.
        let groups = match token.groups {
            Groups::Given(groups) => groups,
            Groups::Absent => Vec::new(),
            Groups::Overage => {
                tracing::info!(issuer = self.issuer(), "token refused: it leaves out groups because they are too many");
                return Ok(None);
            }
        };
        Ok(Some(Known {
            name: token.name.as_deref().unwrap_or(&token.subject).into(),
            groups: groups.into_iter().map(Arc::from).collect(),
            client: token.client.unwrap_or_else(|| ClientId::new("external")),
            scopes: reach(token.scopes.as_ref()),
            expires_at: token.expires_at,
            sign_in: token.authenticated_at.map(|at| SignIn { at, acr: token.acr.map(Into::into) }),
            whom,
        }))
    }
}

/// What a token may be used for: what it says in our words; everything, if it says nothing in our words, since its audience is
/// this very endpoint and the rules come after it.
fn reach(said: Option<&Scopes>) -> Scopes {
    let ours = Scopes::endpoint();
    let named = said.map(|said| said.intersection(&ours)).filter(|named| !named.is_empty());
    named.unwrap_or(ours)
}

/// Both lists, each group once.
fn together(one: &Arc<[Arc<str>]>, other: &Arc<[Arc<str>]>) -> Arc<[Arc<str>]> {
    if other.iter().all(|group| one.contains(group)) {
        return one.clone();
    }
    one.iter().chain(other.iter().filter(|group| !one.contains(group))).cloned().collect()
}

/// The identifier of somebody without an account here: always the same for the same issuer and subject.
fn stranger(issuer: &str, subject: &str) -> PersonId {
    PersonId::new(format!("ext_{}", name_of(&[issuer, subject])))
}

/// A name made of several, each with its length in front so that no two lists make the same.
fn name_of(parts: &[&str]) -> String {
    let mut whole = String::new();
    for part in parts {
        whole.extend([&*part.len().to_string(), ":", part]);
    }
    let mut name = Digest::of(whole.as_bytes()).to_base64url();
    name.truncate(22);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_have_one_name_each() {
        let one = stranger("https://a.example", "b");
        assert_eq!(one, stranger("https://a.example", "b"));
        assert_ne!(one, stranger("https://a.exampl", "eb"));
        assert_ne!(one, stranger("https://a.example", "c"));
        assert_eq!(one.as_str().len(), 26);
    }

    #[test]
    fn scopes_in_our_words_narrow_and_others_say_nothing() {
        let scopes = |text: &str| Scopes::parse(text).unwrap();
        assert_eq!(reach(None), Scopes::endpoint());
        assert_eq!(reach(Some(&scopes("api.read openid"))), Scopes::endpoint());
        assert_eq!(reach(Some(&scopes("openid mcp:read"))), scopes("mcp:read"));
    }
}
