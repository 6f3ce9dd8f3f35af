//! The same for programs.

use anyhow::Result;
use portcullis_house::gateway::ALICE;
use serde_json::json;

use crate::walk::{AUDITOR, ROOT, house, signed_in};

/// Every route of it, and what its answer is called.
pub const API: [(&str, &str); 8] = [
    ("/api/v1/people", "people"),
    ("/api/v1/connections", "connections"),
    ("/api/v1/groups", "groups"),
    ("/api/v1/providers", "providers"),
    ("/api/v1/service-accounts", "service_accounts"),
    ("/api/v1/rules", "rules"),
    ("/api/v1/tools", "tools"),
    ("/api/v1/explain", "explanations"),
];

/// The part of it that auditors may read too.
pub const AUDIT: [(&str, &str); 3] =
    [("/api/v1/audit", "events"), ("/api/v1/audit/calls/{call}", "events"), ("/api/v1/insight", "over_time")];

// spec: T-94, T-95
#[tokio::test(flavor = "multi_thread")]
async fn t94_programs_read_what_administrators_see_and_no_page_of_others_does() -> Result<()> {
    let house = house("").await?;
    let (mut member, mut auditor) = (signed_in(&house, ALICE).await?, signed_in(&house, AUDITOR).await?);
    let mut root = signed_in(&house, ROOT).await?;
    for (path, name) in API.into_iter().chain(AUDIT) {
        let answer = house.request("GET", path).send().await?;
        assert_eq!((answer.status, answer.header("content-type")), (401, Some("application/json")), "{path}");
        assert_eq!(member.get(path).await?.status, 403, "{path}");
        let to_auditor = if AUDIT.iter().any(|(known, _)| *known == path) { 200 } else { 403 };
        assert_eq!(auditor.get(path).await?.status, to_auditor, "{path}");
        let answer = root.get(path).await?;
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(answer.json()[name].is_array(), "{path}: {}", answer.text());
        let foreign = root.request("GET", path).header("origin", "https://evil.example").send().await?;
        assert_eq!(foreign.header("access-control-allow-origin"), None, "{path}");
        assert!(foreign.status == 403, "{path}: {}", foreign.status);
        assert_eq!(
            root.request("POST", path).header("origin", &format!("http://{}", house.authority)).send().await?.status,
            405
        );
    }
    let people = root.get("/api/v1/people?q=chief").await?.json();
    assert_eq!((&people["total"], &people["people"][0]["groups"]), (&json!(1), &json!(["platform"])));
    assert_eq!(people["people"][0]["role"], "admin");
    assert!(!people.to_string().contains("argon2"));
    house.stop().await
}
