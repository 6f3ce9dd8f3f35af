//! Consent: what it is bound to, and when it may be taken as read.

use std::collections::HashSet;

use portcullis_base::{ClientId, Digest, PersonId};
use portcullis_oauth::{
    authorize::{Checked, SignInDemand},
    consent::{ConsentKey, may_remember, may_skip},
    pkce::Challenge,
};

use crate::world::{CALLBACK, CHALLENGE, PAYMENTS, WIKI, public_client, scopes};

fn request() -> Checked {
    Checked {
        client: ClientId::new("app"),
        redirect_uri: CALLBACK.into(),
        resource: WIKI.into(),
        scopes: scopes("mcp:read mcp:call"),
        state: None,
        challenge: Challenge::parse(CHALLENGE).unwrap(),
        wants_consent: false,
        sign_in: SignInDemand::default(),
    }
}

// spec: T-6, T-25, AS-131
#[test]
fn consent_is_bound_to_all_that_it_was_given_for() {
    let key = ConsentKey::new(PersonId::new("ada"), &public_client(), &request());
    let keys = [
        key.clone(),
        ConsentKey { person: PersonId::new("bob"), ..key.clone() },
        ConsentKey { client: ClientId::new("other"), ..key.clone() },
        ConsentKey { redirect_uri: format!("{CALLBACK}/"), ..key.clone() },
        ConsentKey { resource: PAYMENTS.into(), ..key.clone() },
        ConsentKey { scopes: scopes("mcp:read"), ..key.clone() },
        ConsentKey { document_hash: Digest::of(b"changed"), ..key.clone() },
        // The same bytes cut at other places.
        ConsentKey { person: PersonId::new("adaa"), client: ClientId::new("pp"), ..key.clone() },
    ];
    let digests: HashSet<_> = keys.iter().map(ConsentKey::digest).collect();
    assert_eq!(digests.len(), keys.len());
    let other_order = Checked { scopes: scopes("mcp:call mcp:read"), state: Some("x".into()), ..request() };
    assert_eq!(ConsentKey::new(PersonId::new("ada"), &public_client(), &other_order).digest(), key.digest());
}

// spec: T-5, AS-140
#[test]
fn page_is_skipped_only_when_nobody_else_sent_the_browser() {
    let sites = [None, Some("none"), Some("same-origin"), Some("same-site"), Some("cross-site"), Some("None")];
    let skipped = |request: &Checked| sites.map(|site| may_skip(request, site));
    assert_eq!(skipped(&request()), [false, true, true, false, false, false]);
    assert_eq!(skipped(&Checked { wants_consent: true, ..request() }), [false; 6]);
    for uri in ["http://127.0.0.1/cb", "http://localhost:1/cb", "com.example.app:/cb", "cursor://x/cb"] {
        assert!(!may_remember(uri), "{uri}");
        assert_eq!(skipped(&Checked { redirect_uri: uri.into(), ..request() }), [false; 6], "{uri}");
    }
    assert!(may_remember(CALLBACK));
}
