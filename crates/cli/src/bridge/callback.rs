//! The address on this computer to which the browser brings the answer of the authorization server.

use std::{convert::Infallible, io, net::Ipv4Addr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use portcullis_base::Secret;
use portcullis_oauth::relying::callback::state_of;
use tokio::{
    net::TcpListener,
    sync::{Mutex, Semaphore, oneshot},
    task::JoinSet,
};

const PATH: &str = "/callback";
/// Connections at once: browsers open some in advance, and nobody else has business here.
const MOST: usize = 16;
/// How long a connection may take to say what it wants.
const HEAD: Duration = Duration::from_secs(20);
/// How long the page of the browser waits for what came of it.
const VERDICT: Duration = Duration::from_secs(30);

/// A port that waits for an answer.
pub struct Callback {
    listener: TcpListener,
    port: u16,
}

/// An answer, and who waits to be told what came of it.
pub struct Brought {
    /// The query of the address.
    pub query: String,
    verdict: oneshot::Sender<Verdict>,
}

/// What the person is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Done,
    Failed,
}

impl Brought {
    /// Tells the page.
    pub fn tell(self, verdict: Verdict) {
        let _ = self.verdict.send(verdict);
    }
}

impl Callback {
    /// Listens on `port` of this computer, or on any for 0.
    pub async fn listen(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address that the authorization server sends the browser to.
    ///
    /// spec: RFC8252#7.3: a loopback address, not a name, with a port that is free at the moment.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// The first answer that has our state. Whatever else knocks is turned away and changes nothing.
    pub async fn answer(self, state: &Secret) -> io::Result<Brought> {
        let (to, mut came) = oneshot::channel();
        let door = Arc::new(Door {
            host: format!("127.0.0.1:{}", self.port),
            state: state.clone(),
            waiting: Mutex::new(Some(to)),
        });
        let room = Arc::new(Semaphore::new(MOST));
        let mut connections = JoinSet::new();
        let brought = loop {
            tokio::select! {
                brought = &mut came => break brought.map_err(io::Error::other)?,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    let Ok(place) = room.clone().try_acquire_owned() else { continue };
                    let door = door.clone();
                    let service = service_fn(move |request| {
                        let door = door.clone();
                        async move { Ok::<_, Infallible>(door.serve(&request).await) }
                    });
                    let mut http = http1::Builder::new();
                    http.timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false).max_buf_size(64 * 1024);
                    connections.spawn(async move {
                        let _ = http.serve_connection(TokioIo::new(stream), service).await;
                        drop(place);
                    });
                }
            }
        };
        // The page is still to be answered; afterwards nobody listens here any more.
        connections.detach_all();
        Ok(brought)
    }
}

/// What those who knock meet.
struct Door {
    host: String,
    state: Secret,
    waiting: Mutex<Option<oneshot::Sender<Brought>>>,
}

impl Door {
    async fn serve(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let host = request.headers().get(header::HOST).map(http::HeaderValue::as_bytes);
        // A name that somebody made lead here is not our address.
        if request.method() != Method::GET || host != Some(self.host.as_bytes()) || request.uri().path() != PATH {
            return page(StatusCode::NOT_FOUND, "Nothing is here.");
        }
        let query = request.uri().query().unwrap_or_default();
        if !state_of(query).is_some_and(|state| Secret::new(state) == self.state) {
            return page(StatusCode::BAD_REQUEST, "This is not the answer to a sign-in that was begun here.");
        }
        let Some(waiting) = self.waiting.lock().await.take() else {
            return page(StatusCode::BAD_REQUEST, "This sign-in has been answered already.");
        };
        let (verdict, told) = oneshot::channel();
        let _ = waiting.send(Brought { query: query.to_owned(), verdict });
        match tokio::time::timeout(VERDICT, told).await {
            Ok(Ok(Verdict::Done)) => page(StatusCode::OK, "You are signed in. You can close this page."),
            _ => page(
                StatusCode::BAD_REQUEST,
                "The sign-in did not work. What went wrong stands where the program writes its messages.",
            ),
        }
    }
}

/// A page of our words alone.
fn page(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Portcullis</title><main><h1>Portcullis</h1><p>{words}</p></main>"
    );
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::REFERRER_POLICY, "no-referrer");
    response.body(Full::new(html.into())).expect("these headers are fixed")
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn knock(port: u16, request: String) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("somebody listens");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    }

    /// spec: RFC8252#7.3
    #[tokio::test]
    async fn only_our_own_answer_is_taken_and_only_once() {
        let callback = Callback::listen(0).await.expect("a port");
        let port = callback.port();
        assert_eq!(callback.url(), format!("http://127.0.0.1:{port}/callback"));
        let state = Secret::new("ours".into());
        let answered = tokio::spawn(async move { callback.answer(&state).await });
        let get = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let own = format!("127.0.0.1:{port}");
        for (request, status) in [
            (get("/callback?code=x&state=theirs", &own), "400"),
            (get("/callback?code=x&state=ours&state=ours", &own), "400"),
            (get("/callback?code=x", &own), "400"),
            (get("/callback?code=x&state=ours", "evil.example"), "404"),
            (get("/other?code=x&state=ours", &own), "404"),
            (format!("POST /callback?code=x&state=ours HTTP/1.1\r\nhost: {own}\r\ncontent-length: 0\r\n\r\n"), "404"),
        ] {
            let answer = knock(port, request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        }
        let page = tokio::spawn(knock(port, get("/callback?code=y&state=ours", &own)));
        let brought = answered.await.expect("no panic").expect("an answer");
        assert_eq!(brought.query, "code=y&state=ours");
        brought.tell(Verdict::Done);
        let page = page.await.expect("no panic");
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("default-src 'none'"), "{page}");
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err(), "nobody listens any more");
    }
}
