//! One event: who did what to what, how it ended, and which rule let it.
//!
//! spec: SEC-62: user, client, upstream, operation, outcome and correlation id are members of every record.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use portcullis_base::{CallId, ClientId, PersonId, ServerName, Timestamp};

use crate::redact::Kept;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What kind of thing happened. The dotted text is what stands in the journal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$doc])* $variant,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$variant,)*];

            /// The text in the journal.
            pub const fn as_str(self) -> &'static str {
                match self { $(Kind::$variant => $text,)* }
            }
        }
    };
}

kinds! {
    /// A call was judged; written before anything is forwarded.
    CallDecided = "call.decided",
    /// A call that was let through has ended.
    CallEnded = "call.ended",
    /// Somebody signed in.
    SigninSucceeded = "signin.succeeded",
    /// Somebody failed to sign in.
    SigninFailed = "signin.failed",
    /// Somebody signed out.
    Signout = "signout",
    /// A browser session was ended, by its owner elsewhere or by a provider.
    SessionEnded = "session.ended",
    /// A person whom a directory had announced signed in at its provider for the first time.
    IdentityLinked = "identity.linked",
    /// What one browser began came back to another.
    AuthzBrowserMismatch = "authz.browser_mismatch",
    /// A person signed in freshly so that a client may go on.
    GrantFresh = "grant.fresh",
    /// A person let a client act for them.
    ConsentGranted = "consent.granted",
    /// A person did not let a client act for them.
    ConsentDenied = "consent.denied",
    /// A client registered itself.
    ClientRegistered = "client.registered",
    /// A client's metadata document was taken in or has changed.
    ClientDocument = "client.document",
    /// A grant got its first tokens.
    TokenIssued = "token.issued",
    /// A refresh token was exchanged for its successor.
    TokenRefreshed = "token.refreshed",
    /// A retried refresh got the same successor again.
    TokenRedelivered = "token.redelivered",
    /// A spent code or refresh token was presented again.
    TokenReplayed = "token.replayed",
    /// A token request was refused.
    TokenRefused = "token.refused",
    /// A client asked what a token of its own is good for.
    TokenIntrospected = "token.introspected",
    /// A client gave a token back.
    TokenRevoked = "token.revoked",
    /// A grant ended with all its tokens.
    GrantRevoked = "grant.revoked",
    /// An account was made.
    PersonCreated = "person.created",
    /// An account was switched off.
    PersonDisabled = "person.disabled",
    /// An account changed: password, groups or rights.
    PersonChanged = "person.changed",
    /// A service account was made.
    ServiceAccountCreated = "service_account.created",
    /// A service account proves itself in another way from now on.
    ServiceAccountChanged = "service_account.changed",
    /// A service account was switched off.
    ServiceAccountDisabled = "service_account.disabled",
    /// A personal access key was made.
    AccessKeyCreated = "access_key.created",
    /// A personal access key was taken back.
    AccessKeyRevoked = "access_key.revoked",
    /// A provider no longer vouches for somebody; what came from its sign-ins was ended.
    IdentityEnded = "identity.ended",
    /// A disabled account was opened again.
    PersonEnabled = "person.enabled",
    /// Somebody's access is about to be ended.
    OffboardStarted = "offboard.started",
    /// Somebody's access was ended; which report says so.
    OffboardFinished = "offboard.finished",
    /// A directory announced or changed a group, or took it away.
    DirectoryGroup = "directory.group",
    /// A request of a directory was refused.
    DirectoryRefused = "directory.refused",
    /// Somebody went to a server's provider to connect their account.
    ConnectionBegun = "connection.begun",
    /// Somebody's account at a server was not connected.
    ConnectionFailed = "connection.failed",
    /// An administrator looked at how a server signs people in.
    ServerExamined = "server.examined",
    /// Somebody's access to a server was kept: an account there, or a key.
    ConnectionMade = "connection.made",
    /// A connection was renewed.
    ConnectionRefreshed = "connection.refreshed",
    /// A connection is dead: its holder must sign in at the server again.
    ConnectionLost = "connection.lost",
    /// A server did not accept what it was shown.
    ConnectionRefused = "connection.refused",
    /// A connection was ended, and what became of it where it was issued.
    ConnectionDisconnected = "connection.disconnected",
    /// A server was put behind the gateway.
    ServerProtected = "server.protected",
    /// A server was taken away.
    ServerRemoved = "server.removed",
    /// A group may use a server in another way from now on, or not any more.
    ServerAccess = "server.access",
    /// A server that is a command was started: for whom, by which words, and behind what.
    ProcessStarted = "process.started",
    /// The gateway registered itself as the client of an upstream's authorization server.
    UpstreamClientRegistered = "upstream.client_registered",
    /// A signing key was added to the set.
    KeyRotated = "key.rotated",
    /// A data key was added to the ring, or a root key that opens it.
    KeyRingAdded = "key_ring.added",
    /// A data key or a root key opens nothing any more.
    KeyRingRetired = "key_ring.retired",
    /// A call began to wait for the word of humans.
    ApprovalAsked = "approval.asked",
    /// Somebody said something of a call that waits.
    ApprovalVoted = "approval.voted",
    /// Every demand on a call that waits is met.
    ApprovalGranted = "approval.granted",
    /// Somebody who may said no.
    ApprovalRefused = "approval.refused",
    /// Whoever's call it is took it back.
    ApprovalWithdrawn = "approval.withdrawn",
    /// The time of a call that waits was over before it was run.
    ApprovalExpired = "approval.expired",
    /// Whoever ran an approved call died over it.
    ApprovalUnknown = "approval.unknown",
    /// Calls like one that was approved were approved ahead.
    ApprovalStanding = "approval.standing",
    /// Somebody could not be told that a call waits.
    ApprovalUntold = "approval.untold",
    /// A word that came from a chat or a program, and did not count.
    ApprovalNotCounted = "approval.not_counted",
    /// An approval ahead was taken back.
    ApprovalStandingRevoked = "approval.standing_revoked",
    /// Somebody asked for a right to a server.
    AccessRequested = "access.requested",
    /// Somebody was given a right that they had asked for.
    AccessGranted = "access.granted",
    /// Somebody was not given a right that they had asked for.
    AccessRefused = "access.refused",
    /// Somebody does not want a right any more that they had asked for.
    AccessWithdrawn = "access.withdrawn",
    /// A right that somebody was given was taken back, or they gave it back.
    AccessRevoked = "access.revoked",
    /// Somebody took every right to a server, in an emergency.
    AccessBreakGlass = "access.break_glass",
    /// What somebody could do with the word of a human ended with their account.
    RightsEnded = "rights.ended",
    /// Somebody lent their word to somebody else for a while.
    DelegationMade = "delegation.made",
    /// A word that was lent was taken back.
    DelegationRevoked = "delegation.revoked",
    /// A passkey was added to an account.
    PasskeyAdded = "passkey.added",
    /// A passkey was taken away.
    PasskeyRemoved = "passkey.removed",
    /// An authorization request was refused.
    AuthzRefused = "authz.refused",
    /// A request did not get as far as a decision.
    RequestRefused = "request.refused",
    /// The journal was opened for writing.
    JournalStarted = "journal.started",
    /// The journal was not closed by its last writer; what was repaired.
    JournalRecovered = "journal.recovered",
    /// The journal can be written again after a failure.
    JournalResumed = "journal.resumed",
    /// The journal was closed by its writer.
    JournalStopped = "journal.stopped",
    /// Segments are about to be removed because their time is over: the lines up to `through`.
    JournalRemoved = "journal.removed",
    /// The disk of the journal is nearly full.
    JournalScarce = "journal.scarce",
    /// It is not any more.
    JournalAmple = "journal.ample",
    /// Somebody looked at the record: at which part of it, and whether with arguments and results.
    AuditViewed = "audit.viewed",
    /// Somebody took a part of the record with them.
    AuditExported = "audit.exported",
    /// The database was an older copy of itself; everything that it would have brought back to life was ended.
    StoreRestored = "store.restored",
    /// A receiver of the record refused a line for good: which one, and why.
    SinkRefused = "sink.refused",
    /// Settings or rules were loaded.
    SettingsLoaded = "settings.loaded",
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// As asked.
    Success,
    /// It was tried and did not work.
    Failure,
    /// It was not allowed.
    Denied,
    /// No answer came in time.
    Timeout,
    /// Nobody saw the end: the gateway died in between.
    Unknown,
}

impl Outcome {
    /// The text in the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Denied => "denied",
            Self::Timeout => "timeout",
            Self::Unknown => "unknown",
        }
    }
}

/// Who: any of these may be unknown.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    /// The person's identifier.
    pub person: Option<PersonId>,
    /// The name they sign in with.
    pub name: Option<Arc<str>>,
    /// The OAuth client that acts for them.
    pub client: Option<ClientId>,
    /// Where the request came from.
    pub address: Option<IpAddr>,
}

/// On what.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The server.
    pub server: Option<ServerName>,
    /// The MCP method.
    pub method: Option<Cow<'static, str>>,
    /// The tool, prompt, resource, or whatever else the event is about.
    pub name: Option<Cow<'static, str>>,
}

/// Which rule decided.
#[derive(Clone, Debug)]
pub struct Decision {
    /// `allow`, `ask`, `step_up` or `deny`. Only `allow` opens a call.
    pub effect: &'static str,
    /// The name of the rule.
    pub rule: Arc<str>,
    /// The revision of the rules.
    pub revision: Arc<str>,
}

/// The value of a detail.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text; cut and cleaned when written.
    Text(Cow<'static, str>),
    /// A number: counts, sizes, durations in the unit that the key names.
    Number(i64),
    /// Several texts.
    List(Vec<String>),
    /// What is kept of a call's arguments.
    Kept(Kept),
}

/// What ties an event to others that come of the same request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Correlation {
    /// The HTTP request, among all that this gateway ever served.
    pub request: Option<[u8; 12]>,
    /// The trace that the request belongs to (W3C Trace Context).
    pub trace: Option<[u8; 16]>,
}

/// One event, before it has a place in the chain.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: Kind,
    /// Who.
    pub actor: Actor,
    /// On what.
    pub target: Target,
    /// How it ended, if it has ended.
    pub outcome: Option<Outcome>,
    /// Which rule decided, if one did.
    pub decision: Option<Decision>,
    /// The call, to join `call.decided` with `call.ended`.
    pub call: Option<CallId>,
    /// Which request it comes of; [`Correlation::default`] for what comes of none.
    pub correlation: Correlation,
    /// A few more facts, in the order in which they are written.
    pub details: Vec<(&'static str, Value)>,
}

impl Event {
    /// An event with nothing but its kind and time; the rest is set with struct update or the methods below.
    pub fn new(kind: Kind, at: Timestamp) -> Self {
        Self {
            at,
            kind,
            actor: Actor::default(),
            target: Target::default(),
            outcome: None,
            decision: None,
            call: None,
            correlation: Correlation::default(),
            details: Vec::new(),
        }
    }

    /// With the actor.
    pub fn by(mut self, actor: Actor) -> Self {
        self.actor = actor;
        self
    }

    /// With the target.
    pub fn on(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// With the outcome.
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }

    /// With the decision.
    pub fn decided(mut self, decision: Decision) -> Self {
        self.decision = Some(decision);
        self
    }

    /// As part of a call.
    pub fn call(mut self, call: CallId) -> Self {
        self.call = Some(call);
        self
    }

    /// As part of a request.
    pub fn of(mut self, correlation: Correlation) -> Self {
        self.correlation = correlation;
        self
    }

    /// With one more text.
    pub fn text(mut self, key: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        self.details.push((key, Value::Text(text.into())));
        self
    }

    /// With one more number.
    pub fn number(mut self, key: &'static str, number: i64) -> Self {
        self.details.push((key, Value::Number(number)));
        self
    }

    /// With one more detail.
    pub fn detail(mut self, key: &'static str, value: Value) -> Self {
        self.details.push((key, value));
        self
    }
}
