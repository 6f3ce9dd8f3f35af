//! Who may look behind the doors of administration, and who may change what is there.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, Request},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use serde::de::DeserializeOwned;

use super::{LoggedIn, SignedForm};
use crate::{
    app::App,
    error::{ApiError, PageError},
    roles::Standing,
};

/// Somebody who may look: an auditor or an administrator.
#[derive(Clone)]
pub struct Auditor(pub LoggedIn);

/// Somebody who may look at everything: an administrator.
#[derive(Clone)]
pub struct Admin(pub LoggedIn);

/// An administrator whose program asks with the cookie of their browser; it is answered with JSON, whatever is wrong.
pub struct ApiAdmin(pub LoggedIn);

/// The same for somebody who may look: an auditor or an administrator.
pub struct ApiAuditor(pub LoggedIn);

/// A form that an administrator, signed in not long ago, sent from a page of ours.
pub struct AdminForm<T> {
    /// Who sent it.
    pub who: LoggedIn,
    /// What is in it.
    pub form: T,
}

impl FromRequestParts<Arc<App>> for Auditor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let who = <LoggedIn as FromRequestParts<Arc<App>>>::from_request_parts(parts, app).await?;
        at_least(Standing::Auditor, who).map(Self).map_err(IntoResponse::into_response)
    }
}

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let who = <LoggedIn as FromRequestParts<Arc<App>>>::from_request_parts(parts, app).await?;
        at_least(Standing::Administrator, who).map(Self).map_err(IntoResponse::into_response)
    }
}

impl FromRequestParts<Arc<App>> for ApiAdmin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        for_programs(Standing::Administrator, "this is for administrators", parts, app).await.map(Self)
    }
}

impl FromRequestParts<Arc<App>> for ApiAuditor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        for_programs(Standing::Auditor, "this is for auditors and administrators", parts, app).await.map(Self)
    }
}

async fn for_programs(
    needed: Standing,
    whose: &'static str,
    parts: &mut Parts,
    app: &Arc<App>,
) -> Result<LoggedIn, ApiError> {
    let found = <LoggedIn as OptionalFromRequestParts<Arc<App>>>::from_request_parts(parts, app).await;
    match found.map_err(|error| ApiError::unavailable(error.code()))? {
        Some(who) if who.roles.standing() >= needed => Ok(who),
        // spec: T-95
        Some(_) => Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", whose)),
        None => Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", "sign in with a browser first")),
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for AdminForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let page = page_of(request.uri().path());
        let SignedForm { who, form } = SignedForm::from_request(request, app).await?;
        let allowed = at_least(Standing::Administrator, who).and_then(|who| who.recently(app, &page).map(|()| who));
        allowed.map(|who| Self { who, form }).map_err(IntoResponse::into_response)
    }
}

/// The page that a form belongs to: `/admin/people/{id}/groups` is on `/admin/people/{id}`.
fn page_of(form: &str) -> String {
    let keep = match form {
        _ if form.starts_with("/admin/servers/") => usize::MAX,
        _ if form.starts_with("/admin/people/") || form.starts_with("/admin/connections/") => 4,
        _ => 3,
    };
    form.split('/').take(keep).collect::<Vec<_>>().join("/")
}

// spec: T-95
fn at_least(needed: Standing, who: LoggedIn) -> Result<LoggedIn, PageError> {
    if who.roles.standing() >= needed {
        return Ok(who);
    }
    let text = "Ask an administrator of this gateway if you need it. Nothing was changed.";
    let error = PageError::new(StatusCode::FORBIDDEN, "role.missing", "This is not for your account", text);
    Err(error.log(format!("{} is no {needed:?}", who.person.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_back_to_its_page() {
        assert_eq!(page_of("/admin/people/usr_1/sessions/end"), "/admin/people/usr_1");
        assert_eq!(page_of("/admin/service-accounts"), "/admin/service-accounts");
        assert_eq!(page_of("/admin/service-accounts/svc_1/rotate"), "/admin/service-accounts");
        assert_eq!(page_of("/admin/providers/company/check"), "/admin/providers");
        assert_eq!(page_of("/admin/connections/tickets/disconnect"), "/admin/connections/tickets");
        assert_eq!(page_of("/admin/servers/tickets/check"), "/admin/servers/tickets/check");
    }
}
