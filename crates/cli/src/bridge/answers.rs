//! What the server's answers mean for the client.

use http::StatusCode;
use portcullis_mcp::{
    Message, OwnedId, ProtocolError,
    message::{self, Outcome},
    scan,
};

use super::{
    asked::{Asked, Came},
    link::Answer,
    stream::Messages,
    talk::Talk,
};
use crate::failure::{Failure, Result};

/// A refusal is not longer than this.
pub(super) const REFUSAL: usize = 1 << 20;

impl Talk {
    /// Passes on what is no answer: a notification, and in a session a request of the server's.
    pub(super) async fn pass_on(&self, text: &str, modern: bool) {
        match message::message(text) {
            Ok(Message::Notification(_)) => {}
            // spec: TR-59: there are none in the stateless revision.
            Ok(Message::Request(_)) if !modern => {}
            _ => return,
        }
        let _ = self.out.send(text.into()).await;
    }

    /// Reads an answer to its end and passes on what comes before it.
    pub(super) async fn read(&self, asked: &Asked, answer: Answer) -> Result<Came> {
        if answer.status != StatusCode::OK {
            return self.refused(asked, answer).await.map(Came::Answer);
        }
        let mut messages = Messages::new(answer);
        while let Some(message) = messages.next().await {
            let text = match message {
                Ok(text) => text,
                Err(why) => return Ok(Came::Broken(why)),
            };
            if let Some(text) = self.sorted(asked, text, true).await {
                return Ok(Came::Answer(text));
            }
        }
        Ok(Came::Broken("it ended before the answer".into()))
    }

    /// The answer alone, with nothing passed on.
    pub(super) async fn read_quietly(&self, asked: &Asked, answer: Answer) -> Result<Came> {
        if answer.status != StatusCode::OK {
            return self.refused(asked, answer).await.map(Came::Answer);
        }
        let mut messages = Messages::new(answer);
        while let Some(Ok(text)) = messages.next().await {
            if is_answer(&text, &asked.id) {
                return Ok(Came::Answer(text));
            }
        }
        Ok(Came::Broken("it ended before the answer".into()))
    }

    /// The answer, if this is it; everything else is passed on or, if it has no business here, left out.
    pub(super) async fn sorted(&self, asked: &Asked, text: Box<str>, modern: bool) -> Option<Box<str>> {
        if scan::kind(&text) == scan::Kind::Array {
            let mut answer = None;
            for one in scan::elements(&text) {
                if is_answer(one, &asked.id) {
                    answer = Some(one.into());
                } else {
                    self.pass_on(one, modern).await;
                }
            }
            return answer;
        }
        if is_answer(&text, &asked.id) {
            return Some(text);
        }
        self.pass_on(&text, modern).await;
        None
    }

    /// What a status other than 200 means for the request.
    pub(super) async fn refused(&self, asked: &Asked, mut answer: Answer) -> Result<Box<str>> {
        let failure = self.road.turned_away(&answer);
        let body = answer.whole(REFUSAL).await.unwrap_or_default();
        let text = scan::check(&body, &scan::Limits::default()).ok();
        if let Some(Ok(Message::Response(response))) = text.map(message::message)
            && let Outcome::Error { raw, .. } = response.outcome
        {
            // Servers leave the id out where they could not read it, and some where they could.
            return Ok(format!(r#"{{"jsonrpc":"2.0","id":{},"error":{raw}}}"#, asked.id.to_json()).into());
        }
        Err(failure)
    }
}

pub(super) fn is_answer(text: &str, id: &OwnedId) -> bool {
    match message::message(text) {
        Ok(Message::Response(response)) => response.id.is_some_and(|found| found.to_owned() == *id),
        _ => false,
    }
}

pub(super) fn error_code(text: &str) -> Option<i64> {
    scan::member(scan::member(text, "error")?, "code")?.parse().ok()
}

pub(super) fn broken(why: &str) -> Failure {
    Failure::new(format!("the server's answer broke off: {}", portcullis_base::printable(why, 200)))
        .help("whether it did what it was asked for is not known")
}

/// The answer to a request that got none.
pub(super) fn unanswered(id: &OwnedId, failure: &Failure) -> Box<str> {
    let said = portcullis_base::printable(&failure.to_string().replace("\n  ", "; "), 1000);
    let error = ProtocolError::internal(500, format!("portcullis bridge: {said}")).with_id(Some(id.as_id()));
    String::from_utf8(error.to_json()).unwrap_or_default().into()
}

/// The end of a subscription, as servers on standard streams tell it.
pub(super) fn over(id: &OwnedId) -> Box<str> {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":"the connection to the server ended"}}}}"#,
        id.to_json()
    )
    .into()
}
