//! Which request is being served: known to everything that happens because of it, without being handed through it all.
//!
//! The router sets it around each request; the journal writes it into every event, and what is sent to a server says which
//! span it comes of. Work that is handed to a task of its own takes it along with [`carried`]; without that it belongs to
//! no request.

use std::{
    borrow::Cow,
    future::Future,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderValue};
use portcullis_audit::{Actor, Correlation, Event};
use portcullis_base::{Rng, ServerName};
use portcullis_mcp::{message::Call, object::Object, object::quoted, scan, trace};
use tokio::{task::futures::TaskLocalFuture, task_local};

use crate::{
    system::SystemRng,
    telemetry::{Arrival, Kind, Open, Place, Request, Telemetry},
};

task_local! {
    static CURRENT: Current;
}

/// The request that a task serves, and the span in it.
#[derive(Clone, Default)]
pub struct Current {
    request: Option<Arc<Request>>,
    span: Option<Place>,
}

/// Work in a scope.
pub type Scoped<F> = TaskLocalFuture<Current, F>;

/// What tells the requests of this run from those of every other one.
static RUN: LazyLock<[u8; 6]> = LazyLock::new(|| {
    let mut run = [0; 6];
    SystemRng::new().fill(&mut run);
    run
});
static REQUESTS: AtomicU64 = AtomicU64::new(1);

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

fn here() -> Current {
    CURRENT.try_with(Current::clone).unwrap_or_default()
}

/// The request that this task serves; nothing outside of one.
pub fn current() -> Correlation {
    let Current { request, span } = here();
    let correlation = request.map(|request| request.correlation()).unwrap_or_default();
    Correlation { trace: span.map(|span| span.trace).or(correlation.trace), ..correlation }
}

/// A request that has just arrived by `method` for `route`, with these headers and so many bytes of body.
pub fn arrived(
    telemetry: &Arc<Telemetry>,
    method: &str,
    route: &'static str,
    headers: &HeaderMap,
    received: u64,
) -> Arc<Request> {
    let mut id = [0; 12];
    id[..6].copy_from_slice(&*RUN);
    id[6..].copy_from_slice(&REQUESTS.fetch_add(1, Ordering::Relaxed).to_be_bytes()[2..]);
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let trace = (header(TRACEPARENT), header(TRACESTATE));
    Request::arrived(telemetry, Arrival { id, method, route, received, trace })
}

/// Serves `work` as part of `request`.
pub fn scope<F: Future>(request: Arc<Request>, work: F) -> Scoped<F> {
    CURRENT.scope(Current { request: Some(request), span: None }, work)
}

/// Does `work` as part of `request`.
pub fn part_of<T>(request: &Arc<Request>, work: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(Current { request: Some(request.clone()), span: None }, work)
}

/// `work` for a task of its own, as part of the request that is being served now.
pub fn carried<F: Future>(work: F) -> Scoped<F> {
    CURRENT.scope(here(), work)
}

/// Does `work` in the span at `place`; without one, where it stands already.
pub fn within<F: Future>(place: Option<Place>, work: F) -> Scoped<F> {
    let current = here();
    CURRENT.scope(Current { span: place.or(current.span), request: current.request }, work)
}

/// Begins a span of the request that is being served, if traces are recorded.
pub fn open(name: &str, kind: Kind) -> Option<Open> {
    let request = here().request?;
    request.open(&place()?, name, kind)
}

/// Where what is done now stands in our traces; `None` if traces are not recorded.
pub fn place() -> Option<Place> {
    let Current { request, span } = here();
    span.or_else(|| request?.place())
}

/// The route of the request that is being served: a pattern, not an address.
pub fn routed(route: &str) {
    if let Some(request) = here().request {
        request.routed(route);
    }
}

/// The request that is being served did what `event` says.
pub fn note(event: &Event) {
    if let Some(request) = here().request {
        request.note(event);
    }
}

/// It is known who asks, and of which server: for the record, should the request be turned away.
pub fn asked(by: Actor, server: Option<&ServerName>) {
    if let Some(request) = here().request {
        request.asked(by, server.cloned());
    }
}

/// If the request that is being served is turned away, then because of this.
pub fn because(why: impl Into<Cow<'static, str>>) {
    if let Some(request) = here().request {
        request.because(why.into());
    }
}

/// Where `call` says that it stands in its client's trace.
fn said(call: &Call<'_>) -> Option<Place> {
    let parent = scan::string(call.meta.traceparent?)?;
    let state = call.meta.tracestate.and_then(scan::string);
    Place::read(&parent, state.as_deref())
}

/// The request that is being served is this one message, which may say where it stands.
///
/// spec: TR-73: what `_meta` says is nearer to the caller than what the header says.
pub fn stands(call: &Call<'_>) {
    if let Some((place, request)) = said(call).zip(here().request) {
        request.stands(place);
    }
}

/// Begins a span for one message of several in the request that is being served.
pub fn message(call: &Call<'_>) -> Option<Open> {
    let request = here().request?;
    let parent = said(call).or_else(place)?;
    request.open(&parent, call.known.map_or("other", |method| method.name()), Kind::Server)
}

/// Says in the `_meta` of a request to a server where it stands: in our trace if there is one, or else as it came.
///
/// spec: TR-73, BR-70: baggage was not said to this server, and what has not its form is said to nobody.
pub fn stamp(meta: &mut Object<'_>) {
    meta.retain(trace::travels);
    let Some(place) = place() else { return };
    meta.set(TRACEPARENT, quoted(&place.traceparent()));
    match &place.state {
        Some(state) => meta.set(TRACESTATE, quoted(state)),
        None => drop(meta.remove(TRACESTATE)),
    }
}

/// The same in the headers of a request over HTTP; untouched if traces are not recorded.
pub fn stamp_headers(headers: &mut HeaderMap) {
    let Some(place) = place() else { return };
    headers.remove(TRACESTATE);
    let state = place.state.as_deref().map(|state| (TRACESTATE, HeaderValue::try_from(state)));
    for (name, value) in [(TRACEPARENT, HeaderValue::try_from(place.traceparent()))].into_iter().chain(state) {
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_base::{ManualClock, Timestamp};

    use super::*;
    use crate::telemetry::Settings;

    fn request(sample: Option<f64>, traceparent: &str) -> Arc<Request> {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1)));
        let (telemetry, spans) = Telemetry::new(&Settings { sample, ..Settings::default() }, clock, &SystemRng::new());
        drop(spans);
        let headers = [("traceparent", traceparent), ("tracestate", "a=1")];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        arrived(&telemetry, "POST", "/mcp/{name}", &HeaderMap::from_iter(headers), 0)
    }

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[tokio::test]
    async fn requests_differ_and_what_they_hand_to_tasks_stays_theirs() {
        let (one, two) = (request(None, TRACE), request(None, "00-zz-1-1"));
        assert_ne!(one.correlation().request, two.correlation().request);
        assert_eq!(one.correlation().trace.map(|id| (id[0], id[15])), Some((0x4b, 0x36)));
        assert_eq!(two.correlation().trace, None);
        assert_eq!(current(), Correlation::default());
        scope(one.clone(), async {
            assert_eq!(current(), one.correlation());
            assert_eq!(tokio::spawn(carried(async { current() })).await.unwrap(), one.correlation());
            assert_eq!(tokio::spawn(async { current() }).await.unwrap(), Correlation::default());
        })
        .await;
    }

    /// spec: BR-70, TR-73
    #[tokio::test]
    async fn our_span_takes_the_place_of_the_clients_where_traces_are_recorded_and_baggage_goes_nowhere() {
        let meta = format!(r#"{{"traceparent":"{TRACE}","baggage":"a=b","x":1}}"#);
        let stamped = |sample| {
            let meta = meta.clone();
            scope(request(sample, TRACE), async move {
                let span = open("upstream", Kind::Client);
                within(span.as_ref().map(|span| span.place().clone()), async {
                    let mut object = Object::read(&meta).unwrap();
                    stamp(&mut object);
                    let mut headers = HeaderMap::new();
                    stamp_headers(&mut headers);
                    let header = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
                    (object.finish().into_owned(), header("traceparent"), header("tracestate"))
                })
                .await
            })
        };
        let (meta, parent, _) = stamped(None).await;
        assert_eq!((meta.as_str(), parent), (&*format!(r#"{{"traceparent":"{TRACE}","x":1}}"#), None));
        let (meta, parent, state) = stamped(Some(0.0)).await;
        let parent = parent.unwrap();
        assert_eq!(meta, format!(r#"{{"traceparent":"{parent}","x":1,"tracestate":"a=1"}}"#));
        assert_eq!((&parent[..36], &parent[52..], state.as_deref()), (&TRACE[..36], "-01", Some("a=1")));
        assert_ne!(parent, TRACE);
    }
}
