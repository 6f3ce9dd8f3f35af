//! Somebody who is told things over HTTP, on this machine: Slack, Teams, a program.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use http::HeaderMap;
use portcullis_gateway::outbound::{AddressPolicy, Dialer, Outbound};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::mpsc,
};

/// Who listens.
pub struct Listener {
    pub address: String,
    heard: mpsc::UnboundedReceiver<Heard>,
    answers: Arc<Mutex<HashMap<String, VecDeque<String>>>>,
}

/// What was said.
#[derive(Debug)]
pub struct Heard {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Listener {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (say, heard) = mpsc::unbounded_channel();
        let answers = Arc::<Mutex<HashMap<String, VecDeque<String>>>>::default();
        let shared = answers.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (say, answers) = (say.clone(), shared.clone());
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let (mut path, mut headers) = (String::new(), HeaderMap::new());
                    loop {
                        let mut line = String::new();
                        stream.read_line(&mut line).await?;
                        match line.trim_end().split_once(": ") {
                            _ if path.is_empty() => path = line.split(' ').nth(1).unwrap_or_default().to_owned(),
                            Some((name, value)) => {
                                let name: http::HeaderName = name.parse().unwrap();
                                headers.insert(name, value.parse().unwrap());
                            }
                            None => break,
                        }
                    }
                    let length = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
                    let mut body = vec![0; length.unwrap_or(0)];
                    stream.read_exact(&mut body).await?;
                    let bare = path.split('?').next().unwrap_or_default().to_owned();
                    let answer = answers.lock().unwrap().get_mut(&bare).and_then(|answers| {
                        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
                    });
                    let _ = say.send(Heard { path, headers, body: String::from_utf8(body).unwrap() });
                    let answer = answer.unwrap_or_else(|| "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".into());
                    stream.write_all(answer.as_bytes()).await?;
                    stream.shutdown().await
                });
            }
        });
        Self { address, heard, answers }
    }

    pub fn outbound(&self) -> Outbound {
        Outbound::new(Dialer::new([]).unwrap(), AddressPolicy::naming([self.address.as_str()]).unwrap())
    }

    /// Answers at `path`, one after the other, the last one for good.
    pub fn answer(&self, path: &str, answers: &[(u16, &str)]) {
        let answers = answers.iter().map(|(status, body)| {
            format!(
                "HTTP/1.1 {status} It\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
        });
        self.answers.lock().unwrap().insert(path.into(), answers.collect());
    }

    pub async fn heard(&mut self) -> Heard {
        let heard = tokio::time::timeout(Duration::from_secs(60), self.heard.recv()).await;
        heard.expect("nothing was said").unwrap()
    }
}

impl Heard {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}
