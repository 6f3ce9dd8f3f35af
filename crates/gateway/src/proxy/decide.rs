//! Step four: facts become a permit or a denial, and either is in the journal before anything else happens.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use portcullis_audit::{Actor, Decision, Event, Kind, Outcome, Target, Value, digest_text, keep};
use portcullis_base::{ApprovalId, CallId, Class, Classes, Digest, Label, Labels, Rng, ServerName, Timestamp, token};
use portcullis_mcp::{
    Era, Id, Method, ProtocolError,
    message::{INTERNAL_ERROR, INVALID_PARAMS},
    method::Effect,
};
use portcullis_oauth::{
    bearer::Denied,
    scope::{MCP_CALL, MCP_READ, Scopes},
};
use portcullis_policy::{
    self as policy, Access, Denial, Facts, Guest, Obligations, Origin, Permit, Reason, Shadow, approval::By,
    decide_call, hinges_on_risk,
};

use super::{
    approval::{Back, Waited},
    crowd::{Crowd, Seat},
    limits, outside,
    parts::Parts,
    prove::Resource,
    record::{Record, Run},
    refusal::Refusal,
    renewal,
    session::Hears,
    turn::Visit,
};
use crate::{
    caller::Caller,
    config::ReadsWithoutJournal,
    correlation,
    quotas::{Held, Untold},
    snapshot::{Server, Snapshot},
    telemetry,
    tools::Risk,
    veil::recorded,
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
    /// In whose words it is answered.
    pub era: Era,
    /// The client's progress token, raw.
    pub progress: Option<&'a str>,
    /// What it waited for, if it comes back after its client was told to have a page opened.
    pub back: Option<&'a Back>,
}

impl Deed<'_> {
    /// Whether it can wait for a human: one thing is done, whose answer somebody waits for.
    fn can_wait(&self) -> bool {
        let waits = [Method::ToolsCall, Method::PromptsGet, Method::ResourcesRead];
        self.id.is_some() && waits.iter().any(|method| method.name() == self.method)
    }
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
    /// What is known of the tool that it is about, if it is about one.
    pub risk: Risk,
    /// What it waited for, with its place.
    pub waited: Option<&'a Waited>,
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
    waited: Option<&'a Waited>,
}

/// Somebody whose token is good for what they want, with their place.
struct Admitted {
    actor: Actor,
    target: Target,
    seat: Seat,
}

/// What is asked of everybody, whatever the rules of a server say: the scope, and a place.
async fn admitted(door: &Door<'_>, name: &ServerName, deed: &Deed<'_>) -> Result<Admitted, Refusal> {
    let Door { parts, crowd, caller, endpoint, address, waited } = *door;
    let now = parts.clock.now();
    let actor = caller.actor(address);
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
            .text("why", "insufficient_scope")
            .text("needed", needed.to_string())
            .text("granted", caller.scopes.to_string());
        write(parts, event).await;
        let resource = Resource { public_url: &parts.settings.public_url, name: endpoint };
        return Err(resource.deny(Denied::InsufficientScope, needed));
    }
    // spec: T-62: one person's calls do not take the place of everybody's.
    let kept = waited.filter(|_| deed.can_wait()).and_then(Waited::seat);
    let Some(seat) = kept.or_else(|| crowd.enter(&caller.person)) else {
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
        admitted(&Door { parts, crowd, caller, endpoint, address, waited: None }, endpoint, deed).await?;
    Ok(Record::open(parts, None, actor, target, deed.raw.len(), seat))
}

/// Where something is wanted, and from where.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub server: &'a ServerName,
    /// The endpoint: the server's own, or a toolbox.
    pub endpoint: &'a ServerName,
    pub address: Option<IpAddr>,
}

/// What the rules are told of a caller who wants something of a server, but for what that is about.
pub(super) fn facts<'a>(caller: &'a Caller, at: At<'a>, method: &'a str, now: Timestamp) -> Facts<'a> {
    Facts {
        person: &caller.person,
        name: &caller.name,
        kind: caller.kind,
        groups: &caller.groups,
        roles: caller.roles.names(),
        client: &caller.client,
        server: at.server,
        through: (at.endpoint != at.server).then_some(at.endpoint),
        method,
        target: portcullis_policy::Target::None,
        classes: Classes::NONE,
        labels: Labels::NONE,
        tags: &[],
        arguments: None,
        now,
        authenticated_at: caller.sign_in.as_ref().map(|sign_in| sign_in.at),
        acr: caller.sign_in.as_ref().and_then(|sign_in| sign_in.acr.as_deref()),
        address: at.address,
        session_labels: &caller.labels,
    }
}

impl Scene<'_> {
    fn facts<'f>(&'f self, deed: &'f Deed<'_>, now: Timestamp) -> Facts<'f> {
        let at = At { server: &self.server.name, endpoint: self.endpoint, address: self.address };
        Facts {
            target: deed.target,
            arguments: deed.arguments,
            classes: self.risk.classes,
            labels: self.risk.labels,
            ..facts(self.caller, at, &deed.method, now)
        }
    }

    /// Whether more has to be known of a tool than that somebody may call and list tools here.
    pub(super) fn hinges_on_risk(&self, deed: &Deed<'_>) -> bool {
        [needed(deed.effect), &*READ].iter().all(|needed| self.caller.scopes.satisfies(needed))
            && hinges_on_risk(&self.snapshot.bundle, &self.server.access, &self.facts(deed, self.parts.clock.now()))
    }

    /// Whether the rules of now still let `deed` go on. Nothing is written down: that it was let go on already is.
    pub(super) fn still_allows(&self, deed: &Deed<'_>) -> bool {
        let facts = self.facts(deed, self.parts.clock.now());
        portcullis_policy::decide(&self.snapshot.bundle, &self.server.access, &facts).effect
            == portcullis_policy::Effect::Allow
    }
}

/// What the rules say of a deed.
pub(super) enum Decided<'c> {
    /// It may be done.
    Permitted(Permit, Record),
    /// Humans have to agree first.
    Asks(Case<'c>, Denial),
}

/// A deed that is judged, with its place and the beginning of what is written of it.
pub(super) struct Case<'c> {
    pub scene: &'c Scene<'c>,
    pub deed: &'c Deed<'c>,
    pub actor: Actor,
    /// What it is taken for.
    pub classes: Classes,
    target: Target,
    seat: Seat,
    event: Event,
    begun: Instant,
}

/// The name of a call, and what it takes of its limits.
pub(super) struct Taken {
    call: CallId,
    held: Option<Held>,
}

/// Decides and writes it down. A deed that has to wait is written down when it is known what becomes of it.
// spec: T-54: the one place where it is decided, whatever the route, the era or the method.
pub(super) async fn decide<'c>(scene: &'c Scene<'c>, deed: &'c Deed<'c>) -> Result<Decided<'c>, Refusal> {
    let Scene { parts, crowd, snapshot, caller, endpoint, server, address, risk, waited, .. } = scene;
    let (_span, begun) = (correlation::open("decide", telemetry::Kind::Internal), Instant::now());
    let now = parts.clock.now();
    let door = Door { parts, crowd, caller, endpoint, address: *address, waited: *waited };
    let Admitted { actor, target, seat } = admitted(&door, &server.name, deed).await?;
    let facts = scene.facts(deed, now);
    let classes = facts.risk();
    let mut event = Event::new(Kind::CallDecided, now).by(actor.clone()).on(target.clone());
    event = event.text("grant", caller.grant.as_str().to_owned());
    if **endpoint != server.name {
        // spec: T-105: the record is of the inner call, and says by which way it came.
        event = event.text("through", endpoint.to_string());
    }
    if let portcullis_policy::Target::Tool(_) = deed.target {
        let classes: Vec<_> = classes.iter().map(Class::as_str).collect();
        event = event.text("classes", classes.join(" "));
        if !facts.labels.is_empty() {
            let labels: Vec<_> = facts.labels.iter().map(Label::as_str).collect();
            event = event.text("labels", labels.join(" "));
        }
        if let Some(definition) = risk.definition {
            event = event.text("definition", definition.to_base64url());
        }
    }
    event = with_rights(event, &server.access, facts.guest());
    let decided = decide_call(&snapshot.bundle, &server.access, &facts, deed.raw);
    let obligations = decided.as_ref().map_or_else(|denial| &denial.decision.obligations, Permit::obligations);
    // spec: T-99: what rules mask is not in the record, whatever becomes of the call.
    let arguments = deed.arguments.map(|arguments| recorded(&obligations.redactions, arguments));
    if let Some(arguments) = arguments {
        let how = server.audit.arguments.unwrap_or(parts.settings.arguments);
        if let Some(kept) = keep(how, &arguments) {
            event = event.detail("arguments", Value::Kept(kept));
        }
        if how.digests() {
            event = event.text("arguments_digest", digest_text(&Digest::of(arguments.as_bytes())));
        }
    }
    // What is denied here is denied; what humans are asked about is not worth their time if it is taken away.
    let may_go_on = decided.as_ref().err().is_none_or(|denial| denial.decision.effect == policy::Effect::Ask);
    if may_go_on && let Err(why) = parts.decision_point.ask(&facts).await {
        return Err(outside::refused(parts, event, snapshot.bundle.revision(), why, deed).await);
    }
    let case = Case { scene, deed, actor, classes, target, seat, event, begun };
    match decided {
        Ok(permit) => {
            let taken = match case.claim(permit.obligations()).await {
                Ok(taken) => taken,
                Err(why) => return Err(case.held_up(why, permit.rule(), permit.revision()).await),
            };
            let (permit, record) = case.permitted(permit, taken, None).await?;
            Ok(Decided::Permitted(permit, record))
        }
        Err(denial) if denial.decision.effect == policy::Effect::Ask && deed.can_wait() => {
            Ok(Decided::Asks(case, denial))
        }
        Err(denial) => Err(case.denied(&denial).await),
    }
}

impl Case<'_> {
    /// Takes what it takes of its limits, before anything is used up for it.
    pub(super) async fn claim(&self, obligations: &Obligations) -> Result<Taken, Untold> {
        let Scene { parts, calls, .. } = self.scene;
        let (call, facts) = (calls.next(), self.scene.facts(self.deed, parts.clock.now()));
        let held = parts.quotas.claim(obligations, &facts, &call).await?;
        Ok(Taken { call, held })
    }

    /// A limit holds it up.
    pub(super) async fn held_up(self, why: Untold, rule: &Arc<str>, revision: &Arc<str>) -> Refusal {
        limits::refused(self.scene.parts, self.event, (rule, revision), why, self.deed).await
    }

    /// It goes on; what it is the run of ends with it.
    pub(super) async fn permitted(
        self,
        permit: Permit,
        Taken { call, held }: Taken,
        run: Option<Run>,
    ) -> Result<(Permit, Record), Refusal> {
        let Self { scene: Scene { parts, risk, caller, server, .. }, deed, actor, target, seat, event, begun, .. } =
            self;
        let labels = &permit.obligations().labels;
        if !labels.is_empty()
            && let Err(error) = parts.labels.put(&caller.person, &caller.client, labels).await
        {
            tracing::error!(%error, "what a rule calls a session cannot be noted");
            let (rule, revision) = (permit.rule().clone(), permit.revision().clone());
            let event = event.outcome(Outcome::Denied).decided(Decision { effect: "deny", rule, revision });
            write(parts, event.text("label", "it could not be noted")).await;
            let text = "The call cannot be noted at the moment, so it is not made. Try again in a few seconds.";
            return Err(ProtocolError::new(INTERNAL_ERROR, 503, text).with_id(deed.id).into());
        }
        let mut event = event.decided(Decision {
            effect: "allow",
            rule: permit.rule().clone(),
            revision: permit.revision().clone(),
        });
        event = with_shadows(event, permit.shadows());
        event = match permit.by() {
            Some(By::Approval(id)) => event.text("approval", id.as_str().to_owned()),
            Some(By::Standing(id)) => event.text("standing", id.as_str().to_owned()),
            None => event,
        };
        if let Some(by) = run.as_ref().map(Run::by) {
            event = event.text("approved_by", by.to_owned());
        }
        if deed.ends {
            event = event.call(call.clone());
        }
        if let Err(error) = parts.journal.append(event).await {
            tracing::error!(%error, "the decision could not be written");
            // The record is complete or nothing happens; only what changes nothing may go on without it.
            if deed.effect == Effect::Call || parts.settings.reads_without_journal == ReadsWithoutJournal::Deny {
                let error = ProtocolError::new(
                    INTERNAL_ERROR,
                    503,
                    "The call cannot be recorded at the moment, so it is not made.",
                );
                return Err(error.with_id(deed.id).into());
            }
        }
        let call = deed.ends.then_some(call);
        let record = Record::open(parts, call, actor, target, deed.raw.len(), seat).judged(risk.definition);
        let record = record.decided_in(begun.elapsed());
        let record = record.keeping(server.audit.results.unwrap_or(parts.settings.results));
        Ok((permit, record.holding(held).of(run)))
    }

    /// It is not done.
    async fn denied(self, denial: &Denial) -> Refusal {
        let Self { scene: Scene { parts, caller, endpoint, server, .. }, deed, event, .. } = self;
        write(parts, refused(event, denial)).await;
        // spec: T-55: who may not use a server is told the same as of a server that does not exist.
        if denial.decision.reason == Reason::NoAccess {
            return Refusal::no_server(&parts.settings, endpoint);
        }
        if let Some(wanted) = &denial.step_up {
            return renewal::refusal(parts, caller, wanted, &denial.message, deed);
        }
        // spec: RS-23: a refusal by the rules is an error of the call, not of the token: no 401, no 403.
        let status = if deed.id.is_some() { 200 } else { 403 };
        let text = match denial.decision.effect {
            policy::Effect::Ask => format!("{} Nobody can be asked about {}.", denial.message, deed.method),
            policy::Effect::Deny if denial.is_by_access_list() => {
                let link = parts.settings.access_link(&server.name, &deed.target);
                format!("{} Ask for the right to it at {link}", denial.message)
            }
            _ => denial.message.to_string(),
        };
        ProtocolError::new(INVALID_PARAMS, status, text).with_id(deed.id).into()
    }

    /// It is not done now: humans have not agreed to it. Its place, for whoever waits on.
    pub(super) async fn unapproved(self, denial: &Denial, approval: Option<&ApprovalId>, state: &'static str) -> Seat {
        let mut event = refused(self.event, denial).text("became", state);
        if let Some(id) = approval {
            event = event.text("approval", id.as_str().to_owned());
        }
        write(self.scene.parts, event).await;
        self.seat
    }

    /// It is decided anew, from this place.
    pub(super) fn seat(self) -> Seat {
        self.seat
    }
}

fn refused(event: Event, denial: &Denial) -> Event {
    let decision = &denial.decision;
    let (rule, revision) = (decision.rule.clone(), decision.revision.clone());
    let event = event.outcome(Outcome::Denied).decided(Decision { effect: decision.effect.as_str(), rule, revision });
    with_shadows(event, &decision.shadows)
}

/// What its caller was given for a while counts for every call of theirs while it lasts, and so is said of every one.
fn with_rights(mut event: Event, access: &Access, guest: Guest<'_>) -> Event {
    let mut ids = Vec::new();
    for right in access.rights_of(guest) {
        if right.origin == Origin::BreakGlass {
            event = event.text("break_glass", right.id.to_string());
        } else {
            ids.push(right.id.as_str());
        }
    }
    if ids.is_empty() { event } else { event.text("right", ids.join(" ")) }
}

/// Rules in shadow are judged and recorded, and change nothing.
fn with_shadows(event: Event, shadows: &[Shadow]) -> Event {
    if shadows.is_empty() {
        return event;
    }
    let shadows: Vec<_> = shadows.iter().map(|shadow| format!("{}: {}", shadow.rule, shadow.as_str())).collect();
    event.text("shadow", shadows.join(", "))
}

/// Writes that a server was asked for that the caller may not use, or that does not exist.
pub(super) async fn no_server(parts: &Parts, caller: &Caller, name: &ServerName, address: Option<IpAddr>) -> Refusal {
    let actor = caller.actor(address);
    let event = Event::new(Kind::RequestRefused, parts.clock.now())
        .by(actor)
        .on(Target { server: Some(name.clone()), ..Target::default() })
        .outcome(Outcome::Denied)
        .text("why", "no access to this server");
    write(parts, event).await;
    Refusal::no_server(&parts.settings, name)
}

pub(super) async fn write(parts: &Parts, event: Event) {
    if let Err(error) = parts.journal.append(event).await {
        tracing::error!(%error, "a refusal could not be written");
    }
}

/// What it is called.
pub(super) fn target_name<'a>(target: &portcullis_policy::Target<'a>) -> Option<&'a str> {
    use portcullis_policy::Target::{None as Nothing, Prompt, Resource, Task, Tool};
    match *target {
        Nothing => None,
        Tool(name) | Prompt(name) | Resource(name) | Task(name) => Some(name),
    }
}
