//! Every route on one page, and the first check of each: is the request for us, and may its page talk to us.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{DefaultBodyLimit, MatchedPath},
    middleware::{Next, from_fn},
    response::IntoResponse,
};
use http_body_util::Either;
use hyper::{Request, Response, StatusCode, body::Incoming};
use tower::Service;

use crate::{
    access, account, admin,
    app::App,
    authorization, connecting, correlation,
    extract::{SESSION_COOKIE, address_of},
    home, hooks, inbox, login,
    origin::Exposure,
    proxy,
    refusals::{Shown, Visitor},
    scim,
    served::{Served, Told},
};

/// The largest form or registration.
const FORM_BYTES: usize = 64 * 1024;
/// A page or an answer of the authorization server takes no longer, however slowly a form arrives. spec: T-62
const DOOR_TIMEOUT: Duration = Duration::from_secs(30);

/// All that is not a call: the authorization server, sign-in, pages.
fn doors(app: &Arc<App>) -> Router {
    Router::new()
        .merge(authorization::routes(app))
        .merge(login::routes(app))
        .merge(home::routes(app))
        .merge(account::routes(app))
        .merge(inbox::routes(app))
        .merge(hooks::routes(app))
        .merge(access::routes(app))
        .merge(connecting::routes(app))
        .merge(admin::routes(app))
        .merge(scim::routes(app))
        .layer(from_fn(routed))
        .fallback(home::nowhere)
        .layer(DefaultBodyLimit::max(FORM_BYTES))
        .with_state(app.clone())
}

/// Says for which route a request is: the pattern, which has nothing of the address in it.
async fn routed(request: axum::extract::Request, next: Next) -> axum::response::Response {
    if let Some(matched) = request.extensions().get::<MatchedPath>() {
        correlation::routed(matched.as_str());
    }
    next.run(request).await
}

/// What kind of address a path is, as far as that is known before it is routed.
fn route_of(path: &str) -> &'static str {
    match path.strip_prefix("/mcp/").map(|rest| rest.split_once('/')) {
        None => "other",
        Some(Some((_, "sse"))) => "/mcp/{name}/sse",
        Some(Some((_, "messages"))) => "/mcp/{name}/messages",
        Some(_) => "/mcp/{name}",
    }
}

/// Which pages may read an answer. spec: AS-20, RS-8
fn exposure(path: &str) -> Exposure {
    const OPEN: [&str; 9] = [
        "/oauth/token",
        "/oauth/register",
        "/oauth/revoke",
        "/oauth/introspect",
        "/oauth/jwks",
        "/token",
        "/register",
        "/oauth/client.json",
        "/oauth/client/jwks.json",
    ];
    if path.starts_with("/.well-known/") || OPEN.contains(&path) { Exposure::Open } else { Exposure::Guarded }
}

/// The service of the public listener.
pub fn public(app: &Arc<App>) -> Front {
    Front { app: app.clone(), doors: doors(app), proxy: Arc::new(proxy::Proxy::new(app.proxy_parts())) }
}

/// The front of the house.
#[derive(Clone)]
pub struct Front {
    app: Arc<App>,
    doors: Router,
    proxy: Arc<proxy::Proxy>,
}

type Whole = Response<Either<proxy::Answer, Body>>;
type Answer = Response<Told<Either<proxy::Answer, Body>>>;

impl Service<Request<Incoming>> for Front {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let (path, received) = (request.uri().path(), request.body().size_hint().lower());
        let telemetry = &self.app.telemetry;
        let method = request.method().as_str();
        let arrived = correlation::arrived(telemetry, method, route_of(path), request.headers(), received);
        let served = Served::new(telemetry, &arrived);
        let address = address_of(request.extensions(), request.headers(), &self.app.config.trusted_proxies);
        let visitor = Visitor { address, credential: Shown::by(request.headers(), SESSION_COOKIE) };
        // spec: T-30
        if let Err(status) = self.app.origins.check(request.uri(), request.headers(), exposure(path)) {
            arrived.because(if status == StatusCode::FORBIDDEN { "origin" } else { "host" }.into());
            return Box::pin(std::future::ready(Ok(told(&self.app, served, visitor, plain(status)))));
        }
        if path.starts_with("/mcp/") {
            // spec: SEC-76: without the feed nothing is known of revocations, so nothing passes.
            if !self.app.feed.is_fresh() {
                return Box::pin(std::future::ready(Ok(served.answer(plain(StatusCode::SERVICE_UNAVAILABLE)))));
            }
            let (proxy, app) = (self.proxy.clone(), self.app.clone());
            return Box::pin(correlation::scope(arrived, async move {
                let answer = proxy.serve(request, address).await.map(Either::Left);
                Ok(told(&app, served, visitor, answer))
            }));
        }
        let (mut doors, app) = (self.doors.clone(), self.app.clone());
        Box::pin(correlation::scope(arrived, async move {
            let answered = tokio::time::timeout(DOOR_TIMEOUT, doors.call(request)).await;
            let answer = match answered {
                Ok(Ok(answer)) => answer.map(Either::Right),
                Err(_) => plain(StatusCode::REQUEST_TIMEOUT),
            };
            Ok(told(&app, served, visitor, answer))
        }))
    }
}

/// The answer on its way; if it turns a request away, that is in the record.
fn told(app: &App, served: Served, visitor: Visitor, answer: Whole) -> Answer {
    app.refusals.answered(served.request(), visitor, answer.status());
    served.answer(answer)
}

fn plain(status: StatusCode) -> Whole {
    (status, status.canonical_reason().unwrap_or_default()).into_response().map(Either::Right)
}

/// A router of its own as the service of a listener.
pub fn service(
    routes: Router,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    routes
}
