//! The real `portcullis bridge`: a client on its standard streams, and a gateway, or a server that the test plays, at the other
//! end.

mod hostile;
mod signing_in;
mod speaking;

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use portcullis_house::{
    http::{Answer, request},
    person::Browser,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    time::timeout,
};
use url::{Position, Url};

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");
/// How long anything may take before its test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running bridge.
struct Bridge {
    child: Child,
    input: Option<ChildStdin>,
    out: mpsc::UnboundedReceiver<String>,
    err: mpsc::UnboundedReceiver<String>,
}

impl Bridge {
    /// Starts one for the person whose home is `home`.
    fn start(home: &Path, url: &str, flags: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new(BINARY);
        command.arg("bridge").arg(url).args(flags).env_clear().env("HOME", home).env("PATH", "/nowhere");
        command.envs(environment.iter().copied()).current_dir(home).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let out = lines(child.stdout.take().context("output")?);
        let err = lines(child.stderr.take().context("messages")?);
        Ok(Self { child, input, out, err })
    }

    /// Writes one line.
    async fn send(&mut self, message: &Value) -> Result<()> {
        self.write(&format!("{message}\n")).await
    }

    /// Writes anything.
    async fn write(&mut self, text: &str) -> Result<()> {
        let input = self.input.as_mut().context("the input is closed")?;
        input.write_all(text.as_bytes()).await?;
        Ok(input.flush().await?)
    }

    /// The next message.
    async fn message(&mut self) -> Result<Value> {
        let line = timeout(PATIENCE, self.out.recv()).await.context("no message comes")?;
        let line = line.context("the output has ended")?;
        serde_json::from_str(&line).with_context(|| format!("not a message: {line}"))
    }

    /// Asks and waits for the answer; what comes before it must be told by the test.
    async fn ask(&mut self, id: i64, method: &str, params: Value) -> Result<Value> {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await?;
        let answer = self.message().await?;
        ensure!(answer["id"] == id, "another message: {answer}");
        Ok(answer)
    }

    /// Opens a session of 2025-11-25.
    async fn open(&mut self) -> Result<Value> {
        let opened = self.ask(0, "initialize", hello()).await?;
        ensure!(opened["result"]["protocolVersion"] == "2025-11-25", "{opened}");
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await?;
        Ok(opened)
    }

    /// The next line for people that contains `sign`.
    async fn says(&mut self, sign: &str) -> Result<String> {
        loop {
            let line = timeout(PATIENCE, self.err.recv()).await.with_context(|| format!("nothing says {sign:?}"))?;
            let line = line.with_context(|| format!("it ended without saying {sign:?}"))?;
            if line.contains(sign) {
                return Ok(line);
            }
        }
    }

    /// The page that the person is sent to.
    async fn page(&mut self) -> Result<Url> {
        Ok(Url::parse(self.says("/authorize?").await?.trim())?)
    }

    /// Closes the input and waits for the end; what it still said to the client and to people.
    async fn close(mut self) -> Result<(ExitStatus, Vec<String>, Vec<String>)> {
        drop(self.input.take());
        self.ended().await
    }

    /// Waits for the end.
    async fn ended(&mut self) -> Result<(ExitStatus, Vec<String>, Vec<String>)> {
        let status = timeout(PATIENCE, self.child.wait()).await.context("it does not end")??;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some(line) = self.out.recv().await {
            out.push(line);
        }
        while let Some(line) = self.err.recv().await {
            err.push(line);
        }
        Ok((status, out, err))
    }

    /// Sends a signal.
    fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let id = self.child.id().context("it has ended")?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(id)?).context("a process")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }
}

/// Somebody opens the page, signs in, says yes, and the browser brings the answer back.
async fn allow(page: &Url, login: (&str, &str)) -> Result<Answer> {
    let mut browser = Browser::new(page.authority());
    let back = browser.authorize(&page[Position::BeforePath..Position::AfterQuery], login, "approve").await?;
    bring(&back).await
}

/// Brings an answer to the address that waits for it.
async fn bring(back: &Url) -> Result<Answer> {
    request(back.authority(), "GET", &back[Position::BeforePath..Position::AfterQuery]).send().await
}

fn hello() -> Value {
    json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "host", "version": "1" } })
}

/// Parameters of 2026-07-28.
fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
}

fn lines(from: impl tokio::io::AsyncRead + Unpin + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (to, lines) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut from = BufReader::new(from).lines();
        while let Ok(Some(line)) = from.next_line().await {
            if to.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// A server that the test plays, request by request.
struct Server {
    authority: String,
    asked: mpsc::UnboundedReceiver<Asked>,
}

/// One request, and the connection on which it is to be answered.
struct Asked {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    stream: TcpStream,
}

impl Server {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let authority = listener.local_addr()?.to_string();
        let (to, asked) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let to = to.clone();
                tokio::spawn(async move {
                    if let Ok(asked) = read(stream).await {
                        let _ = to.send(asked);
                    }
                });
            }
        });
        Ok(Self { authority, asked })
    }

    fn url(&self) -> String {
        format!("http://{}/mcp", self.authority)
    }

    /// The next request.
    async fn next(&mut self) -> Result<Asked> {
        timeout(PATIENCE, self.asked.recv()).await.context("nothing is asked")?.context("the server has ended")
    }

    /// The next request, which must be of this kind.
    async fn expect(&mut self, method: &str, what: &str) -> Result<Asked> {
        let asked = self.next().await?;
        let is = asked.method == method && (asked.target.contains(what) || asked.json()["method"] == what);
        ensure!(is, "expected {method} {what}, got {} {} {}", asked.method, asked.target, asked.json());
        Ok(asked)
    }
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Answers with anything.
    async fn answer(mut self, status: u16, headers: &[(&str, &str)], body: &str) -> Result<()> {
        let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        self.stream.write_all(format!("{head}\r\n{body}").as_bytes()).await?;
        Ok(self.stream.shutdown().await?)
    }

    async fn accept(self) -> Result<()> {
        self.answer(202, &[], "").await
    }

    async fn give(self, value: &Value) -> Result<()> {
        self.answer(200, &[("content-type", "application/json")], &value.to_string()).await
    }

    /// Answers the request with a result.
    async fn result(self, result: Value) -> Result<()> {
        let id = self.json()["id"].clone();
        self.give(&json!({ "jsonrpc": "2.0", "id": id, "result": result })).await
    }

    /// Answers `initialize` with a session.
    async fn session(self, id: &str) -> Result<()> {
        let result = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
            "serverInfo": { "name": "played", "version": "1" } });
        let body = json!({ "jsonrpc": "2.0", "id": self.json()["id"], "result": result }).to_string();
        self.answer(200, &[("content-type", "application/json"), ("mcp-session-id", id)], &body).await
    }

    /// Begins a stream of events.
    async fn begin(mut self) -> Result<Events> {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        self.stream.write_all(head.as_bytes()).await?;
        Ok(Events(self.stream))
    }
}

/// A stream of events.
struct Events(TcpStream);

impl Events {
    async fn send(&mut self, text: &str) -> Result<()> {
        self.0.write_all(text.as_bytes()).await?;
        Ok(self.0.flush().await?)
    }

    async fn message(&mut self, message: &Value) -> Result<()> {
        self.send(&format!("data: {message}\n\n")).await
    }

    /// Waits until the other side has closed it.
    async fn closed(mut self) -> Result<()> {
        let mut byte = [0];
        match timeout(PATIENCE, self.0.read(&mut byte)).await.context("it stays open")? {
            Ok(0) | Err(_) => Ok(()),
            Ok(_) => bail!("more is sent on a connection that waits for its answer"),
        }
    }
}

async fn read(stream: TcpStream) -> Result<Asked> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).await?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().context("method")?, words.next().context("target")?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(Ok(0), |(_, value)| value.parse())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    Ok(Asked { method, target, headers, body, stream: reader.into_inner() })
}
