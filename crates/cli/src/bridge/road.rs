//! A request with whatever proves who sends it, renewed or asked of the person where the server wants that.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use portcullis_base::printable;

use super::{
    discovery::wanted,
    door::{Asking, Door, Pass, Why},
    link::{Answer, Link},
};
use crate::failure::{Failure, Result};

/// The way to the server.
pub struct Road {
    pub link: Link,
    pub door: Door,
}

impl Road {
    /// Sends a request; the answer is the server's on the matter itself, not on who sent it.
    ///
    /// spec: UP-46: more scope is asked for once.
    pub async fn send(&self, method: Method, headers: HeaderMap, body: Bytes, asking: Asking) -> Result<Answer> {
        let mut pass = self.door.pass(asking).await?;
        let (mut refused, mut more) = (0, 0);
        // What somebody else renewed meanwhile, the same renewed here, and one sign-in: then it is the server's fault.
        let most = if pass == Pass::default() { 1 } else { 2 };
        loop {
            let mut headers = headers.clone();
            if let Some(value) = pass.header() {
                headers.insert(header::AUTHORIZATION, value);
            }
            let answer = self.link.send(method.clone(), headers, body.clone()).await?;
            let wanted = wanted(&answer.headers);
            let why = match answer.status {
                StatusCode::UNAUTHORIZED if refused == most => {
                    return Err(Failure::new(format!(
                        "{} refuses what its own authorization server just gave",
                        self.link.place()
                    )));
                }
                StatusCode::UNAUTHORIZED => {
                    refused += 1;
                    if refused == 1 { Why::Refused } else { Why::RefusedAgain }
                }
                StatusCode::FORBIDDEN
                    if more == 0
                        && wanted
                            .as_ref()
                            .is_some_and(portcullis_oauth::upstream::challenge::Wanted::needs_more_scope) =>
                {
                    more += 1;
                    Why::MoreScope
                }
                _ => return Ok(answer),
            };
            drop(answer);
            pass = self.door.better(&pass, why, wanted, asking).await?;
        }
    }

    /// What a status means that no server of ours gives.
    pub fn turned_away(&self, answer: &Answer) -> Failure {
        let (status, place) = (answer.status, self.link.place());
        let failure = Failure::new(format!("{place} answered {status}"));
        match (status, answer.headers.get(header::LOCATION)) {
            (status, Some(location)) if status.is_redirection() => {
                let location = printable(&String::from_utf8_lossy(location.as_bytes()), 200);
                failure.help(format!("it may have moved to {location}; the bridge follows no redirects"))
            }
            (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, _) => {
                failure.help("check the address: it must be that of an MCP endpoint (Streamable HTTP)")
            }
            _ => failure,
        }
    }
}
