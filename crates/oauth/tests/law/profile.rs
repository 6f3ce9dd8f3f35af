//! What claims say about a person, and what they do not.

use portcullis_oauth::relying::profile::{ClaimNames, Groups, Profile, ProfileError, UserinfoError, with_userinfo};
use serde_json::{Map, Value, json};

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => panic!("claims are an object"),
    }
}

fn profile(claims: Value) -> Profile {
    Profile::from_claims(&ClaimNames::default(), &map(claims)).unwrap()
}

fn groups_at(path: &str, claims: Value) -> Result<Groups, ProfileError> {
    let names = ClaimNames { groups: path.into(), ..ClaimNames::default() };
    let mut claims = map(claims);
    claims.insert("sub".into(), "1".into());
    Profile::from_claims(&names, &claims).map(|profile| profile.groups)
}

fn given(groups: &[&str]) -> Groups {
    Groups::Given(groups.iter().map(|group| (*group).to_owned()).collect())
}

#[test]
fn claims_become_a_profile() {
    let full = profile(json!({
        "sub": "s1", "tid": "t1", "preferred_username": "ada lovelace", "name": "Ada Lovelace",
        "email": "ada@example.com", "email_verified": true, "hd": "example.com", "groups": ["eng"],
    }));
    assert_eq!(full.names, ["ada-lovelace", "ada@example.com", "s1"]);
    assert_eq!((full.subject.as_str(), full.tenant.as_deref()), ("s1", Some("t1")));
    assert_eq!(
        (full.display_name.as_deref(), full.hosted_domain.as_deref()),
        (Some("Ada Lovelace"), Some("example.com"))
    );
    let bare = profile(json!({ "sub": "<script>|248" }));
    assert_eq!(bare.names, ["script--248"]);
    assert_eq!((bare.display_name, bare.email, bare.groups), (None, None, Groups::Absent));
    assert_eq!(profile(json!({ "sub": "x".repeat(200) })).names[0].len(), 64);
    assert!(profile(json!({ "sub": "///" })).names.is_empty());
    let names = ClaimNames { subject: "oid".into(), ..ClaimNames::default() };
    let missing = Profile::from_claims(&names, &map(json!({ "sub": "s1" })));
    assert_eq!(missing, Err(ProfileError::Missing("oid".into())));
    for not_a_name in [json!({ "oid": 7 }), json!({ "oid": "" }), json!({ "oid": ["a"] })] {
        assert!(Profile::from_claims(&names, &map(not_a_name)).is_err());
    }
}

// spec: T-52, OIDCC#5.7
#[test]
fn address_counts_only_if_the_provider_verified_it() {
    for (claims, counts) in [
        (json!({ "email_verified": true }), true),
        (json!({ "email_verified": "true" }), true),
        (json!({ "email_verified": false }), false),
        (json!({ "email_verified": "yes" }), false),
        (json!({ "email_verified": 1 }), false),
        (json!({}), false),
        (json!({ "xms_edov": true }), false),
        (json!({ "xms_edov": true, "email_verified": false }), false),
    ] {
        let mut all = map(claims.clone());
        all.extend(map(json!({ "sub": "1", "email": "ada@example.com" })));
        let profile = profile(Value::Object(all));
        assert_eq!(profile.email.is_some(), counts, "{claims}");
        assert_eq!(profile.names.contains(&"ada@example.com".to_owned()), counts, "{claims}");
    }
    assert_eq!(profile(json!({ "sub": "1", "email": "ada", "email_verified": true })).email, None);
}

#[test]
fn groups_are_found_wherever_providers_put_them() {
    for (path, claims, groups) in [
        ("groups", json!({ "groups": ["a", "b", "a", ""] }), Ok(given(&["a", "b"]))),
        ("groups", json!({ "groups": [] }), Ok(given(&[]))),
        ("groups", json!({ "groups": "only" }), Ok(given(&["only"]))),
        ("groups", json!({}), Ok(Groups::Absent)),
        ("groups", json!({ "groups": null }), Ok(Groups::Absent)),
        ("realm_access.roles", json!({ "realm_access": { "roles": ["r"] } }), Ok(given(&["r"]))),
        ("https://a.example/groups", json!({ "https://a.example/groups": ["c"] }), Ok(given(&["c"]))),
        (
            "groups",
            json!({ "groups": [{ "name": "n" }, { "display": "d" }, { "value": "v" }] }),
            Ok(given(&["n", "d", "v"])),
        ),
        ("groups", json!({ "groups": [7] }), Err(ProfileError::Malformed("groups".into()))),
        ("groups", json!({ "groups": [{ "id": 7 }] }), Err(ProfileError::Malformed("groups".into()))),
        ("groups", json!({ "groups": { "a": true } }), Err(ProfileError::Malformed("groups".into()))),
    ] {
        assert_eq!(groups_at(path, claims.clone()), groups, "{path} {claims}");
    }
}

// spec: T-52
#[test]
fn more_groups_than_fit_are_not_no_groups() {
    let sources = json!({ "src1": { "endpoint": "https://graph.windows.net/t/users/u/getMemberObjects" } });
    for claims in [
        json!({ "_claim_names": { "groups": "src1" }, "_claim_sources": sources }),
        json!({ "_claim_names": { "groups": "src1" }, "groups": ["a"] }),
        json!({ "hasgroups": true }),
        json!({ "hasgroups": "true" }),
    ] {
        assert_eq!(groups_at("groups", claims.clone()), Ok(Groups::Overage), "{claims}");
    }
    let roles = json!({ "hasgroups": true, "_claim_names": { "groups": "src1" }, "roles": ["operator"] });
    assert_eq!(groups_at("roles", roles), Ok(given(&["operator"])));
    for claims in [json!({ "hasgroups": false }), json!({ "_claim_names": { "roles": "src1" } })] {
        assert_eq!(groups_at("groups", claims.clone()), Ok(Groups::Absent), "{claims}");
    }
}

// spec: OIDCC#5.3.2
#[test]
fn userinfo_adds_to_its_own_person_and_replaces_nothing() {
    let signed = || map(json!({ "sub": "1", "name": "Ada" }));
    let told = with_userinfo(signed(), br#"{"sub":"1","name":"Eve","groups":["a"]}"#).unwrap();
    assert_eq!((&told["name"], &told["groups"]), (&json!("Ada"), &json!(["a"])));
    for other in [r#"{"sub":"2","groups":["a"]}"#, r#"{"groups":["a"]}"#, r#"{"sub":"","groups":["a"]}"#] {
        assert_eq!(with_userinfo(signed(), other.as_bytes()), Err(UserinfoError::Subject), "{other}");
    }
    assert_eq!(with_userinfo(map(json!({})), br#"{"sub":"1"}"#), Err(UserinfoError::Subject));
    for damaged in ["", "[]", r#"{"sub":"1","sub":"1"}"#, "eyJhbGciOiJub25lIn0.e30."] {
        assert_eq!(with_userinfo(signed(), damaged.as_bytes()), Err(UserinfoError::Malformed), "{damaged}");
    }
}
