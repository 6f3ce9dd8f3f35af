//! How long a stream may stay open: until its token ends, its grant is revoked, or the absolute maximum (RS-25, TR-14).

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use portcullis_audit::Outcome;
use portcullis_base::Clock;

use crate::{caller::Caller, ended::Ended};

/// Why a stream had to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The token that opened it has expired.
    Expired,
    /// The grant behind the token was revoked, or the person disabled.
    Revoked,
    /// It was open for the longest time any stream may be.
    TooLong,
}

impl Why {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "the token has expired",
            Self::Revoked => "access was revoked",
            Self::TooLong => "the call took too long",
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Expired | Self::Revoked => Outcome::Denied,
            Self::TooLong => Outcome::Timeout,
        }
    }
}

/// How much longer than its token a call may take whose answer is waited for: the token was good when it was made, and a
/// call that began in a token's last minute is no reason to lose its answer. Revocation ends it at once all the same.
pub(super) const GRACE: Duration = Duration::from_mins(5);

/// Becomes ready when the stream must end.
pub(super) struct Stay(Pin<Box<dyn Future<Output = Why> + Send>>);

impl Stay {
    pub(super) fn new(
        caller: &Caller,
        ended: Arc<Ended>,
        clock: &dyn Clock,
        longest: Duration,
        grace: Duration,
    ) -> Self {
        let token = caller.expires_at.since(clock.now()) + grace;
        let (grant, person) = (caller.grant.clone(), caller.person.clone());
        let mut watch = ended.watch();
        Self(Box::pin(async move {
            let revoked = async {
                // The first look comes after the subscription, so that no change falls between the two.
                while !ended.has_grant(&grant) && !ended.has_person(&person) {
                    if watch.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            };
            tokio::select! {
                () = revoked => Why::Revoked,
                () = tokio::time::sleep(token) => Why::Expired,
                () = tokio::time::sleep(longest) => Why::TooLong,
            }
        }))
    }
}

impl Future for Stay {
    type Output = Why;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Why> {
        self.0.as_mut().poll(cx)
    }
}
