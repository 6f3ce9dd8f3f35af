//! What only people are let near.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};

use crate::error::PageError;

/// Turns away whoever shows a token.
// spec: T-82: "approval endpoint only accepts interactive session (not MCP tokens)"
pub async fn people_only(request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::AUTHORIZATION) {
        let text = "Programs cannot approve, ask for rights, or look at what waits for people. Open this address in a browser.";
        let error = PageError::new(StatusCode::FORBIDDEN, "approval.token", "This is for people", text);
        return error.into_response();
    }
    next.run(request).await
}
