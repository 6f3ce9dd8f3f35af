//! A client and a server in one memory: the server applies the law to a store that is a few maps.

use std::{collections::HashMap, time::Duration};

use portcullis_base::{ClientId, Clock, Digest, GrantId, ManualClock, PersonId, SeededRng, token};
use portcullis_oauth::{
    access::{AccessClaims, TokenRejection},
    authorize::AuthorizeRequest,
    client::Client,
    client_auth::{Context, Credentials},
    error::{TokenError, TokenErrorCode},
    grant::{Code, Grant, RefreshToken, Revoked, RevokedWhy},
    jwks::KeySet,
    revocation::{self, Known},
    scope::Scopes,
    token::{
        CODE_LIFETIME, RedeemFacts, Redeemed, Redemption, RefreshFacts, RefreshPolicy, RefreshRequest, Refreshed,
        TokenAnswer, TokenRequest, next_refresh_token, redeem, refresh,
    },
};

use crate::world::{CALLBACK, CHALLENGE, ISSUER, NOW, VERIFIER, WIKI, encoded, form, key_set, resources};

/// The server's side: clients, grants, credentials, keys, a clock that is moved by hand.
pub struct Pair {
    pub clock: ManualClock,
    pub policy: RefreshPolicy,
    pub active: bool,
    rng: SeededRng,
    keys: KeySet,
    clients: HashMap<ClientId, Client>,
    grants: HashMap<GrantId, Grant>,
    codes: HashMap<Digest, Code>,
    refresh_tokens: HashMap<Digest, RefreshToken>,
}

/// What a client keeps from a token answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub access: String,
    pub refresh: Option<String>,
    pub scope: String,
}

impl Pair {
    pub fn new(clients: impl IntoIterator<Item = Client>) -> Self {
        Self {
            clock: ManualClock::new(NOW),
            policy: RefreshPolicy::default(),
            active: true,
            rng: SeededRng::new(7),
            keys: key_set(),
            clients: clients.into_iter().map(|client| (client.id.clone(), client)).collect(),
            grants: HashMap::new(),
            codes: HashMap::new(),
            refresh_tokens: HashMap::new(),
        }
    }

    /// The client sends the browser, the person agrees, the browser comes back: the code.
    pub fn authorize(&mut self, client: &str, scope: &str) -> String {
        let query = encoded(&[
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", CALLBACK),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", WIKI),
            ("scope", scope),
            ("state", "abc"),
        ]);
        let request = AuthorizeRequest::parse(&query).unwrap();
        let checked = request.check(&self.clients[&request.client_id], &resources(None)).unwrap();
        let now = self.clock.now();
        let (id, code) = (GrantId::random(&self.rng), token::<32>(&self.rng));
        let location = checked.redirect_with_code(&code, ISSUER);
        self.grants.insert(
            id.clone(),
            Grant {
                id: id.clone(),
                person: PersonId::new("usr_ada"),
                client: checked.client,
                resource: checked.resource,
                scopes: checked.scopes,
                redirect_uri: checked.redirect_uri,
                created_at: now,
                expires_at: now.plus(self.policy.absolute),
                authenticated_at: None,
                acr: None,
                session: None,
                revoked: None,
            },
        );
        let hash = Digest::of(code.as_bytes());
        let expires_at = now.plus(CODE_LIFETIME);
        self.codes.insert(hash, Code { hash, grant: id, challenge: checked.challenge, expires_at, redeemed_at: None });
        let answer = location.split_once('?').unwrap().1;
        let pairs: HashMap<_, _> = url::form_urlencoded::parse(answer.as_bytes()).into_owned().collect();
        assert_eq!((pairs["state"].as_str(), pairs["iss"].as_str()), ("abc", ISSUER));
        pairs["code"].clone()
    }

    /// The client redeems a code with its own verifier.
    pub fn redeem(&mut self, client: &str, code: &str) -> Result<Tokens, TokenErrorCode> {
        self.redeem_with(client, code, VERIFIER)
    }

    /// Somebody redeems a code with some verifier.
    pub fn redeem_with(&mut self, client: &str, code: &str, verifier: &str) -> Result<Tokens, TokenErrorCode> {
        self.post(&[
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("code", code),
            ("code_verifier", verifier),
            ("redirect_uri", CALLBACK),
        ])
    }

    /// The client refreshes.
    pub fn refresh(&mut self, client: &str, refresh: &str) -> Result<Tokens, TokenErrorCode> {
        self.post(&[("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", refresh)])
    }

    /// A form at the token endpoint.
    pub fn post(&mut self, pairs: &[(&str, &str)]) -> Result<Tokens, TokenErrorCode> {
        self.token(pairs).map_err(|error| error.code)
    }

    fn token(&mut self, pairs: &[(&str, &str)]) -> Result<Tokens, TokenError> {
        let form = form(pairs);
        let credentials = Credentials::find([], &form)?;
        let audiences = [ISSUER.to_owned()];
        let context = Context { audiences: &audiences, fetched_keys: None, now: self.clock.now() };
        let client = self.clients.get(&credentials.client_id);
        credentials.verify(client, &context)?;
        match TokenRequest::parse(&form, client.expect("a client that was verified"))? {
            TokenRequest::Redeem(request) => self.apply_redemption(&request),
            TokenRequest::Refresh(request) => self.apply_refresh(&request),
            TokenRequest::ClientCredentials(_) | TokenRequest::JwtBearer(_) => unreachable!("no story has these"),
        }
    }

    fn apply_redemption(&mut self, request: &Redemption) -> Result<Tokens, TokenError> {
        let hash = Digest::of(request.code.as_bytes());
        let now = self.clock.now();
        let facts = self.codes.get(&hash).map(|code| RedeemFacts {
            code: code.clone(),
            grant: self.grants[&code.grant].clone(),
            person_active: self.active,
        });
        match redeem(request, facts.as_ref(), now) {
            Redeemed::Issue { with_refresh } => {
                let grant = facts.expect("what was issued for").grant;
                self.codes.get_mut(&hash).unwrap().redeemed_at = Some(now);
                let first = with_refresh.then(|| token::<32>(&self.rng));
                if let Some(first) = &first {
                    self.keep_refresh(first, &grant);
                }
                Ok(self.answer(&grant, &grant.scopes, first))
            }
            Redeemed::Refuse(error) => Err(error),
            Redeemed::Revoke(error, why) => {
                self.revoke(&facts.expect("what is revoked").grant.id, why);
                Err(error)
            }
        }
    }

    fn apply_refresh(&mut self, request: &RefreshRequest) -> Result<Tokens, TokenError> {
        let hash = Digest::of(request.token.as_bytes());
        let now = self.clock.now();
        let facts = self.refresh_facts(&hash);
        let successor = next_refresh_token(b"refresh key", &request.token);
        match refresh(request, facts.as_ref(), &self.policy, now) {
            Refreshed::Rotate(scopes) => {
                let grant = facts.expect("what is rotated").grant;
                self.keep_refresh(&successor, &grant);
                let old = self.refresh_tokens.get_mut(&hash).unwrap();
                old.replaced_at = Some(now);
                old.successor = Some(Digest::of(successor.as_bytes()));
                Ok(self.answer(&grant, &scopes, Some(successor)))
            }
            Refreshed::Redeliver(scopes) => {
                let grant = facts.expect("what is delivered again").grant;
                Ok(self.answer(&grant, &scopes, Some(successor)))
            }
            Refreshed::Refuse(error) => Err(error),
            Refreshed::Revoke(error, why) => {
                self.revoke(&facts.expect("what is revoked").grant.id, why);
                Err(error)
            }
        }
    }

    fn refresh_facts(&self, hash: &Digest) -> Option<RefreshFacts> {
        let token = self.refresh_tokens.get(hash)?;
        let successor_used = token
            .successor
            .and_then(|successor| self.refresh_tokens.get(&successor))
            .is_some_and(|successor| successor.replaced_at.is_some());
        Some(RefreshFacts {
            token: RefreshToken { successor_used, ..token.clone() },
            grant: self.grants[&token.grant].clone(),
            person_active: self.active,
        })
    }

    fn keep_refresh(&mut self, text: &str, grant: &Grant) {
        let now = self.clock.now();
        let hash = Digest::of(text.as_bytes());
        let token = RefreshToken {
            hash,
            grant: grant.id.clone(),
            issued_at: now,
            expires_at: now.plus(self.policy.idle),
            replaced_at: None,
            successor: None,
            successor_used: false,
        };
        self.refresh_tokens.insert(hash, token);
    }

    fn answer(&self, grant: &Grant, scopes: &Scopes, refresh: Option<String>) -> Tokens {
        let now = self.clock.now();
        let claims = AccessClaims::of(grant, scopes, now, Duration::from_mins(10), &self.rng);
        let access = claims.sign(ISSUER, self.keys.current(now).unwrap()).unwrap();
        let answer = TokenAnswer::bearer(access, claims.lifetime(), scopes, refresh);
        Tokens { access: answer.access_token, refresh: answer.refresh_token, scope: answer.scope }
    }

    /// The client gives up a token.
    pub fn give_up(&mut self, client: &str, presented: &str) {
        let now = self.clock.now();
        let access = AccessClaims::verify(presented, ISSUER, &self.keys, now).ok();
        let refresh = self.refresh_facts(&Digest::of(presented.as_bytes()));
        let known = match (&access, &refresh) {
            (Some(claims), _) => Known::Access(claims),
            (_, Some(facts)) => Known::Refresh(facts),
            _ => Known::Unknown,
        };
        if let Some(grant) = revocation::revoke(&ClientId::new(client), known) {
            self.revoke(&grant, RevokedWhy::Client);
        }
    }

    fn revoke(&mut self, grant: &GrantId, why: RevokedWhy) {
        let at = self.clock.now();
        self.grants.get_mut(grant).unwrap().revoked.get_or_insert(Revoked { at, why });
    }

    /// Why the only grant ended early, if it did.
    pub fn revoked(&self) -> Option<RevokedWhy> {
        self.grants.values().next().unwrap().revoked.map(|revoked| revoked.why)
    }

    /// The endpoint's side: a request with this token.
    pub fn call(&self, access: &str, resource: &str) -> Result<bool, TokenRejection> {
        let now = self.clock.now();
        let claims = AccessClaims::verify(access, ISSUER, &self.keys, now)?;
        claims.check(resource, now)?;
        Ok(self.grants[&claims.grant].is_alive(now))
    }
}
