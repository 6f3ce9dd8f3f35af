//! Step four: facts become a permit or a denial, and either is in the journal before anything else happens.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use portcullis_audit::{Actor, Decision, Event, Kind, Outcome, Target, Value, keep};
use portcullis_base::{CallId, Rng, ServerName, Timestamp, token};
use portcullis_mcp::{
    Id, ProtocolError,
    message::{INTERNAL_ERROR, INVALID_PARAMS},
    method::Effect,
};
use portcullis_oauth::{
    bearer::Denied,
    scope::{MCP_CALL, MCP_READ, Scopes},
};
use portcullis_policy::{Facts, Permit, Reason, Shadow, decide_call};

use super::{
    crowd::{Crowd, Seat},
    parts::Parts,
    prove::Resource,
    record::Record,
    refusal::Refusal,
    renewal,
    session::Hears,
    turn::Visit,
};
use crate::{
    caller::Caller,
    snapshot::{Server, Snapshot},
};

/// One thing a caller wants of a server, in the words of the policy.
pub(super) struct Deed<'a> {
    /// The MCP method; for streams and the end of a session the method of HTTP.
    pub method: Cow<'static, str>,
    pub target: portcullis_policy::Target<'a>,
    pub arguments: Option<&'a str>,
    pub effect: Effect,
    pub id: Option<Id<'a>>,
    /// The exact bytes.
    pub raw: &'a [u8],
    /// Whether an end will follow, which only answers have.
    pub ends: bool,
    /// How its client takes it that its person has to open a page first.
    pub hears: Hears,
}

/// Names calls. Nobody is let in by the name of a call, so it is counted and not drawn; only the beginning is random, so
/// that no two runs of no two nodes use the same names.
pub(super) struct Calls {
    run: String,
    next: AtomicU64,
}

impl Calls {
    pub(super) fn new(rng: &dyn Rng) -> Self {
        Self { run: token::<12>(rng), next: AtomicU64::new(0) }
    }

    fn next(&self) -> CallId {
        CallId::new(format!("call_{}{:06x}", self.run, self.next.fetch_add(1, Ordering::Relaxed)))
    }
}

/// Who wants it, where.
pub(super) struct Scene<'a> {
    pub parts: &'a Parts,
    pub calls: &'a Calls,
    pub crowd: &'a Arc<Crowd>,
    pub snapshot: &'a Snapshot,
    pub caller: &'a Caller,
    /// The endpoint where it is wanted.
    pub endpoint: &'a ServerName,
    pub server: &'a Server,
    pub address: Option<IpAddr>,
}

static READ: LazyLock<Scopes> = LazyLock::new(|| only(MCP_READ));
static CALL: LazyLock<Scopes> = LazyLock::new(|| only(MCP_CALL));

fn only(scope: &str) -> Scopes {
    std::iter::once(scope.into()).collect()
}

/// The scopes that a deed needs.
// spec: RS-14: "every scope the current operation needs"
fn needed(effect: Effect) -> &'static Scopes {
    match effect {
        Effect::Read => &READ,
        Effect::Call => &CALL,
    }
}

/// Who is at which endpoint.
struct Door<'a> {
    parts: &'a Parts,
    crowd: &'a Arc<Crowd>,
    caller: &'a Caller,
    endpoint: &'a ServerName,
    address: Option<IpAddr>,
}

/// Somebody whose token is good for what they want, with their place.
struct Admitted {
    actor: Actor,
    target: Target,
    seat: Seat,
}

/// What is asked of everybody, whatever the rules of a server say: the scope, and a place.
async fn admitted(door: &Door<'_>, name: &ServerName, deed: &Deed<'_>) -> Result<Admitted, Refusal> {
    let Door { parts, crowd, caller, endpoint, address } = *door;
    let now = parts.clock.now();
    let actor = Actor {
        person: Some(caller.person.clone()),
        name: Some(caller.name.clone()),
        client: Some(caller.client.clone()),
        address,
    };
    let target = Target {
        server: Some(name.clone()),
        method: Some(deed.method.clone()),
        name: target_name(&deed.target).map(|name| Cow::Owned(name.to_owned())),
    };
    let needed = needed(deed.effect);
    // spec: RS-29: the scope is necessary, the rules come after it.
    if !caller.scopes.satisfies(needed) {
        let event = Event::new(Kind::RequestRefused, now)
            .by(actor)
            .on(target)
            .outcome(Outcome::Denied)
            .text("reason", "insufficient_scope")
            .text("needed", needed.to_string())
            .text("granted", caller.scopes.to_string());
        write(parts, event).await;
        let resource = Resource { public_url: &parts.settings.public_url, name: endpoint };
        return Err(resource.deny(Denied::InsufficientScope, needed));
    }
    // spec: T-62: one person's calls do not take the place of everybody's.
    let Some(seat) = crowd.enter(&caller.person) else {
        tracing::warn!(person.id = %caller.person, "too many calls in flight");
        let message = "Too many calls of this person are in flight; wait for some to end.";
        return Err(ProtocolError::internal(429, message).with_id(deed.id).into());
    };
    Ok(Admitted { actor, target, seat })
}

/// Lets in something that is done at the endpoint itself and at no server behind it.
pub(super) async fn admit(visit: &Visit<'_>, deed: &Deed<'_>) -> Result<Record, Refusal> {
    let Visit { parts, crowd, caller, endpoint, address, .. } = *visit;
    let Admitted { actor, target, seat } =
        admitted(&Door { parts, crowd, caller, endpoint, address }, endpoint, deed).await?;
    Ok(Record::open(parts, None, actor, target, deed.raw.len(), seat))
}

/// What the rules are told of a caller who wants something of a server, but for what that is about.
pub(super) fn facts<'a>(caller: &'a Caller, server: &'a ServerName, method: &'a str, now: Timestamp) -> Facts<'a> {
    Facts {
        person: &caller.person,
        name: &caller.name,
        groups: &caller.groups,
        roles: caller.roles.names(),
        client: &caller.client,
        server,
        method,
        target: portcullis_policy::Target::None,
        arguments: None,
        now,
        authenticated_at: caller.sign_in.as_ref().map(|sign_in| sign_in.at),
        acr: caller.sign_in.as_ref().and_then(|sign_in| sign_in.acr.as_deref()),
    }
}

/// Decides and writes it down.
// spec: T-54: the one place where it is decided, whatever the route, the era or the method.
pub(super) async fn decide(scene: &Scene<'_>, deed: &Deed<'_>) -> Result<(Permit, Record), Refusal> {
    let Scene { parts, calls, crowd, snapshot, caller, endpoint, server, address } = scene;
    let now = parts.clock.now();
    let door = Door { parts, crowd, caller, endpoint, address: *address };
    let Admitted { actor, target, seat } = admitted(&door, &server.name, deed).await?;
    let facts =
        Facts { target: deed.target, arguments: deed.arguments, ..facts(caller, &server.name, &deed.method, now) };
    let mut event = Event::new(Kind::CallDecided, now).by(actor.clone()).on(target.clone());
    if **endpoint != server.name {
        // spec: T-105: the record is of the inner call, and says by which way it came.
        event = event.text("through", endpoint.to_string());
    }
    let kept = deed.arguments.and_then(|arguments| keep(parts.settings.arguments, arguments));
    match decide_call(&snapshot.bundle, &server.access, &facts, deed.raw) {
        Ok(permit) => {
            let call = calls.next();
            let mut event = event.decided(Decision {
                effect: "allow",
                rule: permit.rule().clone(),
                revision: permit.revision().clone(),
            });
            event = with_shadows(event, permit.shadows());
            if deed.ends {
                event = event.call(call.clone());
            }
            if let Some(kept) = kept {
                event = event.detail("arguments", Value::Kept(kept));
            }
            if let Err(error) = parts.journal.append(event).await {
                tracing::error!(%error, "the decision could not be written");
                // The record is complete or nothing happens; only what changes nothing may go on without it.
                if deed.effect == Effect::Call {
                    let error = ProtocolError::new(
                        INTERNAL_ERROR,
                        503,
                        "The call cannot be recorded at the moment, so it is not made.",
                    );
                    return Err(error.with_id(deed.id).into());
                }
            }
            let call = deed.ends.then_some(call);
            let record = Record::open(parts, call, actor, target, deed.raw.len(), seat);
            Ok((permit, record))
        }
        Err(denial) => {
            let mut event = event.outcome(Outcome::Denied).decided(Decision {
                effect: denial.decision.effect.as_str(),
                rule: denial.decision.rule.clone(),
                revision: denial.decision.revision.clone(),
            });
            if let Some(kept) = kept {
                event = event.detail("arguments", Value::Kept(kept));
            }
            write(parts, with_shadows(event, &denial.decision.shadows)).await;
            // spec: T-55: who may not use a server is told the same as of a server that does not exist.
            if denial.decision.reason == Reason::NoAccess {
                return Err(Refusal::no_server());
            }
            if let Some(wanted) = &denial.step_up {
                return Err(renewal::refusal(parts, caller, wanted, &denial.message, deed));
            }
            // spec: RS-23: a refusal by the rules is an error of the call, not of the token: no 401, no 403.
            let status = if deed.id.is_some() { 200 } else { 403 };
            Err(ProtocolError::new(INVALID_PARAMS, status, denial.message).with_id(deed.id).into())
        }
    }
}

/// Rules in shadow are judged and recorded, and change nothing.
fn with_shadows(event: Event, shadows: &[Shadow]) -> Event {
    if shadows.is_empty() {
        return event;
    }
    let shadows: Vec<_> = shadows.iter().map(|shadow| format!("{}: {}", shadow.rule, shadow.effect.as_str())).collect();
    event.text("shadow", shadows.join(", "))
}

/// Writes that a server was asked for that the caller may not use, or that does not exist.
pub(super) async fn no_server(parts: &Parts, caller: &Caller, name: &ServerName, address: Option<IpAddr>) -> Refusal {
    let actor = Actor {
        person: Some(caller.person.clone()),
        name: Some(caller.name.clone()),
        client: Some(caller.client.clone()),
        address,
    };
    let event = Event::new(Kind::RequestRefused, parts.clock.now())
        .by(actor)
        .on(Target { server: Some(name.clone()), ..Target::default() })
        .outcome(Outcome::Denied)
        .text("reason", "no access to this server");
    write(parts, event).await;
    Refusal::no_server()
}

async fn write(parts: &Parts, event: Event) {
    if let Err(error) = parts.journal.append(event).await {
        tracing::error!(%error, "a refusal could not be written");
    }
}

fn target_name<'a>(target: &portcullis_policy::Target<'a>) -> Option<&'a str> {
    use portcullis_policy::Target::{None as Nothing, Prompt, Resource, Task, Tool};
    match *target {
        Nothing => None,
        Tool(name) | Prompt(name) | Resource(name) | Task(name) => Some(name),
    }
}
