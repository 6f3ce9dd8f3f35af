//! What stories start from: an open store, and people, clients, grants and codes with everything set.

use std::{ops::Deref, sync::Arc, time::Duration};

use portcullis_base::{ClientId, Digest, GrantId, PersonId, Secret, SeededRng, Timestamp};
use portcullis_oauth::{
    client::{Client, ClientKind, ClientMetadata},
    consent::ConsentKey,
    grant::{Code, Grant},
    pkce::Challenge,
    scope::Scopes,
    token::{self, RedeemFacts, Redeemed, Redemption, RefreshFacts, RefreshPolicy, RefreshRequest, Refreshed},
};
use portcullis_store::{
    Approval, Approved, FirstRefresh, LinkBy, NewPeople, NewPerson, NewScimUser, NewSession, Person, ProviderSignIn,
    ScimState, SignedIn, Store, StoreError, fixture::TestDatabase,
};

pub const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub const MINUTE: Duration = Duration::from_mins(1);
pub const HOUR: Duration = Duration::from_hours(1);
pub const DAY: Duration = Duration::from_hours(24);
pub const RESOURCE: &str = "http://127.0.0.1:7878/mcp/sample";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A database and the store on it. Derefs to the store.
pub struct Given {
    pub database: TestDatabase,
    pub store: Store,
}

impl Deref for Given {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

pub async fn on_sqlite() -> Arc<Given> {
    open(TestDatabase::sqlite()).await
}

pub async fn on_postgresql() -> Option<Arc<Given>> {
    Some(open(TestDatabase::postgres().await?).await)
}

async fn open(database: TestDatabase) -> Arc<Given> {
    let store = database.open().await.unwrap();
    Arc::new(Given { database, store })
}

/// The public name of the session that [`Given::sign_in`] starts.
pub fn session_id(cookie: &str) -> String {
    format!("bse_{}", digest(&format!("name of {cookie}")).to_base64url())
}

/// A session of a local account whose cookie is `hash`.
pub fn session<'a>(hash: &'a Digest, id: &'a str, person: &'a PersonId, expires_at: Timestamp) -> NewSession<'a> {
    NewSession {
        hash,
        id,
        person,
        provider: None,
        issuer: None,
        subject: None,
        sid: None,
        authenticated_at: NOW,
        acr: None,
        agent: "Browser/1.0",
        address: Some(std::net::IpAddr::from([192, 0, 2, 7])),
        logout_hint: None,
        expires_at,
    }
}

pub const PROVIDER: &str = "company";
pub const ISSUER: &str = "https://login.example.com";

/// A sign-in of somebody new at the provider.
pub fn at_provider<'a>(subject: &'a str, new_person: &'a PersonId, names: &'a [String]) -> ProviderSignIn<'a> {
    ProviderSignIn {
        provider: PROVIDER,
        issuer: ISSUER,
        subject,
        tenant: Some("tenant"),
        external_id: None,
        email: None,
        names,
        display_name: "Ada L.",
        groups: None,
        refresh_sealed: Some(b"sealed"),
        sign_up: NewPeople::Welcome,
        link: LinkBy::Nothing,
        new_person,
    }
}

/// What the provider's directory says of somebody, but for the names.
pub fn directory_user<'a>(id: &'a str, user_name: &'a str) -> NewScimUser<'a> {
    NewScimUser {
        id,
        provider: PROVIDER,
        user_name,
        external_id: None,
        email: None,
        display_name: "Somebody",
        attributes: "{}",
        state: ScimState::Active,
    }
}

pub fn groups(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub fn after(by: Duration) -> Timestamp {
    NOW.plus(by)
}

pub fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

pub fn new_person(name: &str) -> NewPerson {
    NewPerson {
        id: PersonId::new(format!("usr_{name}")),
        name: name.into(),
        display_name: format!("{name} Example"),
        email: Some(format!("{name}@example.com")),
        groups: vec!["platform".into(), "a \"quoted\" group".into()],
        password_hash: Some(Secret::new(format!("$argon2id$of-{name}"))),
        admin_at: None,
    }
}

pub fn new_admin(name: &str) -> NewPerson {
    NewPerson { admin_at: Some(NOW), ..new_person(name) }
}

pub fn client(id: &str) -> Client {
    let mut metadata = ClientMetadata::public(vec!["http://127.0.0.1/callback".into()]);
    metadata.client_name = Some(format!("{id} \u{1f510}"));
    Client::new(ClientId::new(id), ClientKind::Registered, metadata, Some(digest("secret")), NOW)
}

pub fn grant(id: &str, person: &PersonId, client: &str) -> Grant {
    Grant {
        id: GrantId::new(id),
        person: person.clone(),
        client: ClientId::new(client),
        resource: RESOURCE.into(),
        scopes: Scopes::parse("mcp:read mcp:call offline_access").unwrap(),
        redirect_uri: "http://127.0.0.1:4711/callback".into(),
        created_at: NOW,
        expires_at: after(30 * DAY),
        authenticated_at: Some(NOW),
        acr: None,
        session: None,
        revoked: None,
    }
}

pub fn code(text: &str, grant: &Grant) -> Code {
    Code {
        hash: digest(text),
        grant: grant.id.clone(),
        challenge: Challenge::parse(&digest(VERIFIER).to_base64url()).unwrap(),
        expires_at: after(MINUTE),
        redeemed_at: None,
    }
}

pub fn consent(grant: &Grant, document: &str) -> ConsentKey {
    ConsentKey {
        person: grant.person.clone(),
        client: grant.client.clone(),
        redirect_uri: grant.redirect_uri.clone(),
        resource: grant.resource.clone(),
        scopes: grant.scopes.clone(),
        document_hash: digest(document),
    }
}

impl Given {
    /// Signs a person in with a password: the cookie is `cookie`, the session's name [`session_id`].
    pub async fn sign_in(&self, cookie: &str, person: &PersonId, expires_at: Timestamp) -> Result<(), StoreError> {
        let (hash, id) = (digest(cookie), session_id(cookie));
        self.start_session(&session(&hash, &id, person, expires_at), NOW).await
    }

    pub async fn person(&self, name: &str) -> Person {
        self.create_person(&new_person(name), NOW).await.unwrap()
    }

    /// Somebody who came from the provider, with these groups.
    pub async fn signed_up(&self, name: &str, member_of: &[&str]) -> Person {
        let (id, names, member_of) = (PersonId::new(format!("usr_{name}")), groups(&[name]), groups(member_of));
        let sign_in = ProviderSignIn { groups: Some(&member_of), ..at_provider(name, &id, &names) };
        match self.sign_in_identity(&sign_in, NOW).await.unwrap() {
            SignedIn::Created(person) => person,
            other => panic!("{other:?}"),
        }
    }

    /// A session that came from the provider's sign-in.
    pub async fn session_from_provider(&self, cookie: &str, person: &Person, sid: Option<&str>) {
        let (hash, id) = (digest(cookie), session_id(cookie));
        let new = NewSession {
            provider: Some(PROVIDER),
            issuer: Some(ISSUER),
            subject: Some(&person.name),
            sid,
            acr: Some("silver"),
            logout_hint: Some(b"sealed hint"),
            ..session(&hash, &id, &person.id, after(DAY))
        };
        self.start_session(&new, NOW).await.unwrap();
    }

    /// A grant approved in the session of `cookie`.
    pub async fn granted_in(&self, id: &str, cookie: &str, person: &PersonId) -> Grant {
        let grant = Grant { session: Some(session_id(cookie)), ..grant(id, person, "c") };
        self.approved(&grant).await;
        grant
    }

    /// Whether the session of `cookie` lives.
    pub async fn is_signed_in(&self, cookie: &str) -> bool {
        self.session(&digest(cookie), NOW, HOUR).await.unwrap().is_some()
    }

    /// An approved grant whose code is `"code of {id}"`.
    pub async fn granted(&self, id: &str, person: &PersonId, client: &str) -> Grant {
        let grant = grant(id, person, client);
        self.approved(&grant).await;
        grant
    }

    async fn approved(&self, grant: &Grant) {
        let approval = Approval {
            transaction: &format!("page of {}", grant.id),
            transaction_expires_at: after(10 * MINUTE),
            grant,
            code: &code(&format!("code of {}", grant.id), grant),
            remember: None,
        };
        assert_eq!(self.approve(&approval, NOW).await.unwrap(), Approved::Stored);
    }

    /// Redeems as the client that the code was made for.
    pub async fn redeem_code(&self, text: &str, client: &str, now: Timestamp) -> Redeemed {
        self.redeem_with(text, client, VERIFIER, now).await
    }

    pub async fn redeem_with(&self, text: &str, client: &str, verifier: &str, now: Timestamp) -> Redeemed {
        let request = Redemption {
            client: ClientId::new(client),
            may_refresh: true,
            code: text.into(),
            verifier: Some(verifier.into()),
            redirect_uri: None,
            resource: None,
        };
        let first = FirstRefresh { hash: digest(&format!("first after {text}")), expires_at: now.plus(14 * DAY) };
        let decide = |facts: Option<&RedeemFacts>| token::redeem(&request, facts, now);
        self.redeem(&digest(text), &first, now, decide).await.unwrap().0
    }

    /// Refreshes `token`; its successor is `"{token}+"`.
    pub async fn refresh_token(&self, text: &str, client: &str, now: Timestamp) -> Refreshed {
        let request = RefreshRequest {
            client: ClientId::new(client),
            may_refresh: true,
            token: text.into(),
            scopes: None,
            resource: None,
        };
        let policy = RefreshPolicy::default();
        let decide = |facts: Option<&RefreshFacts>| token::refresh(&request, facts, &policy, now);
        let successor = digest(&format!("{text}+"));
        self.refresh(&digest(text), &successor, now.plus(policy.idle), now, decide).await.unwrap().0
    }

    pub async fn is_revoked(&self, grant: &Grant) -> bool {
        self.grant(&grant.id).await.unwrap().unwrap().revoked.is_some()
    }
}

/// A credential as the gateway makes them.
pub fn credential(seed: u64) -> String {
    portcullis_base::token::<32>(&SeededRng::new(seed))
}
