//! How long a stream may stay open: until its token ends, its grant is revoked, or the absolute maximum (RS-25, TR-14); and
//! one on which nothing is waited for, until the gateway stops.

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
    /// The gateway stops.
    Closing,
}

impl Why {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "the token has expired",
            Self::Revoked => "access was revoked",
            Self::TooLong => "the call took too long",
            Self::Closing => "the gateway stops",
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Expired | Self::Revoked => Outcome::Denied,
            Self::TooLong => Outcome::Timeout,
            Self::Closing => Outcome::Success,
        }
    }
}

/// How much longer than its token a call may take whose answer is waited for: the token was good when it was made, and a
/// call that began in a token's last minute is no reason to lose its answer. Revocation ends it at once all the same.
pub(super) const GRACE: Duration = Duration::from_mins(5);

/// Becomes ready when the stream must end.
pub(super) struct Stay(Pin<Box<dyn Future<Output = Why> + Send>>);

impl Stay {
    /// For a stream on which something is waited for: a stop of the gateway lets it come, if it comes soon.
    pub(super) fn new(
        caller: &Caller,
        ended: Arc<Ended>,
        clock: &dyn Clock,
        longest: Duration,
        grace: Duration,
    ) -> Self {
        Self::until(caller, ended, clock, longest, grace, |_| false)
    }

    /// For a stream on which somebody listens, and no more.
    // spec: TR-68: "On shutdown end each subscription with its result"
    pub(super) fn listening(caller: &Caller, ended: Arc<Ended>, clock: &dyn Clock, longest: Duration) -> Self {
        Self::until(caller, ended, clock, longest, Duration::ZERO, Ended::is_closing)
    }

    /// For a call that waits for a human and may be made again: neither revoked access nor a stop of the gateway is waited out.
    pub(super) fn waiting(caller: &Caller, ended: Arc<Ended>, clock: &dyn Clock, longest: Duration) -> Self {
        Self::until(caller, ended, clock, longest, GRACE, Ended::is_closing)
    }

    fn until(
        caller: &Caller,
        ended: Arc<Ended>,
        clock: &dyn Clock,
        longest: Duration,
        grace: Duration,
        closes: fn(&Ended) -> bool,
    ) -> Self {
        let token = caller.expires_at.since(clock.now()) + grace;
        let (grant, person) = (caller.grant.clone(), caller.person.clone());
        let mut watch = ended.watch();
        Self(Box::pin(async move {
            let over = async {
                // The first look comes after the subscription, so that no change falls between the two.
                loop {
                    if ended.has_grant(&grant) || ended.has_person(&person) {
                        break Why::Revoked;
                    }
                    if closes(&ended) {
                        break Why::Closing;
                    }
                    if watch.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            };
            tokio::select! {
                why = over => why,
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
