//! Microsoft Entra ID leaves the groups out of a token when there are too many, and says only that it did ("overage").
//! Then Microsoft Graph is asked, in the person's own name.

use portcullis_base::Secret;
use serde::Deserialize;

use super::api::{self, ApiError};
use crate::outbound::Outbound;

/// Microsoft Graph, unless the settings name another.
const GRAPH: &str = "https://graph.microsoft.com";
const GROUP: &str = "#microsoft.graph.group";

#[derive(Deserialize)]
struct Page {
    value: Vec<Entry>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(rename = "@odata.type")]
    kind: Option<String>,
}

/// Identifiers of all groups of whoever `token` is for, through other groups too.
// spec: T-52: "group overage => fetch or deny, not empty=allow": every page or an error.
pub(super) async fn groups(
    outbound: &Outbound,
    api_url: Option<&str>,
    token: &Secret,
) -> Result<Vec<String>, ApiError> {
    let graph = api_url.unwrap_or(GRAPH).trim_end_matches('/');
    let mut url = format!("{graph}/v1.0/me/transitiveMemberOf?$select=id&$top=999");
    let mut groups = Vec::new();
    for _ in 0..api::MAX_PAGES {
        let page = page(outbound, &url, token).await?;
        let of_groups = page.value.into_iter().filter(|entry| entry.kind.as_deref().is_none_or(|kind| kind == GROUP));
        groups.extend(of_groups.map(|entry| entry.id));
        match page.next {
            None => return Ok(groups),
            // The token goes to Graph and nowhere else, whatever a page says.
            Some(next) if next.strip_prefix(graph).is_some_and(|rest| rest.starts_with('/')) => url = next,
            Some(_) => return Err(ApiError::Refused(format!("{graph}: the next page is somewhere else"))),
        }
    }
    Err(api::endless(graph))
}

/// One page. The token is new, so that it is refused says something of its scopes and nothing of the person.
async fn page(outbound: &Outbound, url: &str, token: &Secret) -> Result<Page, ApiError> {
    api::get(outbound, url, token).await.map_err(|error| match error {
        ApiError::Unauthorized(detail) | ApiError::Refused(detail) => ApiError::Refused(format!(
            "{detail}; the application needs the delegated permission User.Read or GroupMember.Read.All"
        )),
        ApiError::NoAnswer(detail) => ApiError::NoAnswer(detail),
    })
}
