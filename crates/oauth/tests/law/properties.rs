//! What holds for any input.

use portcullis_oauth::{
    assertion,
    authorize::AuthorizeRequest,
    bearer,
    client_auth::Credentials,
    jwks::PublicKeys,
    jwt::Unverified,
    parameters::Parameters,
    redirect::{self, RedirectPolicy},
    registration,
    relying::{
        self,
        callback::{self, IssPolicy},
        discovery::{self, ProviderMetadata},
        issuer::IssuerRule,
        profile::{self, ClaimNames, Profile},
        request::AuthorizationRequest,
    },
    resource,
    scope::Scopes,
};
use proptest::prelude::*;
use url::Url;

fn scope_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![Just("mcp:read"), Just("mcp:call"), Just("offline_access"), Just("a"), Just("b")];
    proptest::collection::vec(word, 0..8).prop_map(|words| words.join(" "))
}

/// Texts that look like URIs, with the characters that matter.
fn uri_text() -> impl Strategy<Value = String> {
    "(https?|HTTP|javascript|com\\.app)?:?/{0,3}(localhost|127\\.0\\.0\\.1|\\[::1\\]|a\\.b|A\\.b|u@a)(:[0-9]{0,6})?[/?#a-c.%*\\\\ \\[\\]@:]{0,12}"
}

proptest! {
    // spec: RFC6749#3.3
    #[test]
    fn scopes_are_sets(a in scope_text(), b in scope_text()) {
        let (a, b) = (Scopes::parse(&a).unwrap(), Scopes::parse(&b).unwrap());
        prop_assert_eq!(Scopes::parse(&a.to_string()), Ok(a.clone()));
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert!(a.union(&b).satisfies(&a) && a.union(&b).satisfies(&b));
        prop_assert!(a.satisfies(&b) || b.iter().any(|scope| !a.contains(scope)));
        prop_assert_eq!(a.without("a").contains("a"), false);
        let both = a.intersection(&b);
        prop_assert_eq!(&both, &b.intersection(&a));
        prop_assert!(a.satisfies(&both) && b.satisfies(&both));
        prop_assert!(a.iter().all(|scope| !b.contains(scope) || both.contains(scope)));
        prop_assert_eq!(a.intersection(&a), a);
    }

    // spec: RFC6749#3.3
    #[test]
    fn only_scope_tokens_parse(text in "\\PC{0,40}") {
        let fits = text.chars().all(|c| c == ' ' || matches!(c, '!' | '#'..='[' | ']'..='~'));
        prop_assert_eq!(Scopes::parse(&text).is_ok(), fits);
    }

    // spec: AS-34, AS-35, T-11
    #[test]
    fn matching_uris_differ_at_most_in_a_loopback_port(registered in uri_text(), presented in uri_text()) {
        prop_assert!(redirect::matches(&registered, &registered));
        if registered != presented && redirect::matches(&registered, &presented) {
            prop_assert!(redirect::is_loopback(&registered) && redirect::is_loopback(&presented));
        }
    }

    // spec: AS-37, T-11
    #[test]
    fn what_may_be_registered_is_read_by_a_browser_as_it_is_written(uri in uri_text()) {
        if RedirectPolicy::default().check(&uri).is_ok() {
            let url = Url::parse(&uri).unwrap();
            let host = url.host_str().unwrap();
            prop_assert!(url.scheme() == "https" || ["localhost", "127.0.0.1", "[::1]"].contains(&host));
            prop_assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
            prop_assert_eq!(redirect::destination(&uri).split(':').next() == host.split(':').next(), true);
            let rest = uri.split_once("://").unwrap().1;
            let path = rest.find('/').map_or("/", |at| rest[at..].split('?').next().unwrap());
            if !rest.split('/').next().unwrap().contains('?') {
                prop_assert_eq!(url.path(), path);
            }
        }
    }

    // spec: AS-35, AS-36
    #[test]
    fn any_loopback_port_matches(a in 1u16.., b in 1u16.., host in 0usize..3) {
        let host = ["localhost", "127.0.0.1", "[::1]"][host];
        let at = |port: u16| format!("http://{host}:{port}/callback");
        prop_assert!(redirect::matches(&at(a), &at(b)));
    }

    // spec: T-37
    #[test]
    fn token_parser_never_panics(text in "\\PC{0,200}", a in "[A-Za-z0-9_-]{0,60}", b in "[A-Za-z0-9_-]{0,60}") {
        let _ = Unverified::split(&text);
        let _ = Unverified::split(&format!("{a}.{b}.{a}"));
        let _ = Unverified::split(&format!("eyJhbGciOiJFUzI1NiJ9.{b}.{a}"));
        let _ = PublicKeys::parse(text.as_bytes());
        let _ = bearer::extract([text.as_bytes()], Some(&text));
    }

    // spec: T-37
    #[test]
    fn what_providers_say_never_panics(text in "\\PC{0,200}", json in "[\\[\\]{}:,\"a-z0-9.]{0,60}") {
        for said in [text.as_str(), json.as_str()] {
            let _ = assertion::kind(said);
            let _ = callback::parse(said, &IssuerRule::Exact("i".into()), IssPolicy::Required);
            let _ = callback::state_of(said);
            let _ = discovery::parse(said.as_bytes(), &IssuerRule::Exact("i".into()));
            let _ = relying::token::parse(said.as_bytes());
            let _ = relying::token::refusal(said.as_bytes());
            let claims = serde_json::json!({ "sub": said, "preferred_username": said, "groups": said, "x": { "y": said } });
            let claims = claims.as_object().unwrap().clone();
            let _ = profile::with_userinfo(claims.clone(), said.as_bytes());
            let names = ClaimNames { groups: said.into(), ..ClaimNames::default() };
            if let Ok(profile) = Profile::from_claims(&names, &claims) {
                prop_assert!(profile.names.iter().all(|name| !name.is_empty() && name.chars().count() <= 64));
            }
        }
    }

    // spec: AS-142
    #[test]
    fn requests_say_what_they_were_told(state in "\\PC{1,60}", hint in "\\PC{1,60}") {
        let metadata = ProviderMetadata { authorization_endpoint: "https://a.example/x".into(), ..Default::default() };
        let request = AuthorizationRequest {
            endpoint: &metadata.authorization_endpoint, client_id: "c", redirect_uri: "https://gw.example/cb",
            scopes: &[], resource: None, state: &state,
            nonce: None, challenge: "ch", max_age: None, acr_values: None, prompt: None, login_hint: Some(&hint),
            extra: &[("state", "other")],
        };
        let url = Url::parse(&request.url()).unwrap();
        let all = |name: &str| -> Vec<String> {
            url.query_pairs().filter(|(held, _)| held == name).map(|(_, value)| value.into_owned()).collect()
        };
        prop_assert_eq!((all("state"), all("login_hint")), (vec![state], vec![hint]));
    }

    #[test]
    fn readers_of_foreign_text_never_panic(text in "\\PC{0,200}", uri in uri_text()) {
        let _ = AuthorizeRequest::parse(&text);
        let _ = resource::canonical(&uri);
        let _ = registration::is_document_id(&uri);
        let _ = registration::register(text.as_bytes(), &RedirectPolicy::default());
        let _ = RedirectPolicy::default().check(&text);
        if let Ok(form) = Parameters::parse(&text) {
            let _ = Credentials::find([text.as_bytes()], &form);
        }
    }

    // spec: AS-39
    #[test]
    fn answers_come_back_as_they_were_put_on(value in "\\PC{0,100}", query in prop_oneof![Just(""), Just("?a=1"), Just("?")]) {
        let location = redirect::with_query(&format!("https://a.example/cb{query}"), &[("state", &value)]);
        let url = Url::parse(&location).unwrap();
        let read = url.query_pairs().find(|(name, _)| name == "state").map(|(_, value)| value.into_owned());
        prop_assert_eq!(read, Some(value));
    }

    // spec: AS-47
    #[test]
    fn canonical_form_is_stable(uri in uri_text()) {
        if let Some(once) = resource::canonical(&uri) {
            prop_assert_eq!(resource::canonical(&format!("{once}/")), Some(once.clone()));
            let authority = once.split("://").nth(1).unwrap().split(['/', '?']).next().unwrap();
            prop_assert!(!authority.is_empty() && !authority.contains('@') && !once.contains(['#', '\\']));
            prop_assert!(uri.to_lowercase().contains(authority.split(':').next().unwrap()));
        }
    }
}
