//! The official Rust SDK as a client, unchanged: `--mode legacy` or `modern`. The same steps, options and output as
//! `features.py`.

#![expect(deprecated, reason = "what the newest revision is about to drop is tried all the same")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResponse, CallToolResult, ClientConfig, ClientRequest,
    CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams, ElicitResult, ErrorData, ListRootsResult,
    LoggingMessageNotificationParam, ProgressNotificationParam, ProtocolVersion, ResourceUpdatedNotificationParam,
    ServerNotification, SubscriptionFilter, TaskStatus,
};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, NotificationContext, Peer, PeerRequestOptions, RequestContext, RoleClient,
    RunningService, Subscription,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ServiceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);
/// So many that they cannot all come together with the answer, with which some clients lose them.
const STEPS: &str = "50";
/// Waiting for something that is written down by another process looks again this often.
const LOOK: Duration = Duration::from_millis(20);
/// Nothing tells a client when its stream of news is open: without news for so long, it gives another cause for them.
const NEWS: Duration = Duration::from_secs(3);
const TOOLS: [&str; 7] = ["echo", "count", "slow", "think", "where", "touch", "chat"];
const ROOT: &str = "file:///matrix/root";
const PAGE: &str = "https://example.com/matrix";
const THOUGHT: &str = "forty-two";
const COLOUR: &str = "green";

type Outcome<T> = Result<T, String>;

/// What the server asked and told.
#[derive(Clone, Default)]
struct Ears {
    capabilities: Value,
    asked: Arc<Mutex<Vec<(&'static str, String)>>>,
    progress: Arc<Mutex<Vec<f64>>>,
    logs: Arc<Mutex<Vec<String>>>,
    changed: Arc<Notify>,
    updated: Arc<Mutex<HashMap<String, Arc<Notify>>>>,
}

impl Ears {
    fn updates_of(&self, uri: &str) -> Arc<Notify> {
        Arc::clone(self.updated.lock().expect("no panic holds it").entry(uri.to_owned()).or_default())
    }
}

impl ClientHandler for Ears {
    fn get_info(&self) -> ClientConfig {
        parsed(json!({
            "protocolVersion": "2025-11-25",
            "capabilities": self.capabilities,
            "clientInfo": { "name": "rmcp", "version": "1.0.0" },
        }))
    }

    async fn create_elicitation(
        &self,
        params: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let mut asked = self.asked.lock().expect("no panic holds it");
        Ok(parsed(match params {
            ElicitRequestParams::UrlElicitationParams { url, .. } => {
                asked.push(("url", url));
                json!({ "action": "accept" })
            }
            ElicitRequestParams::FormElicitationParams { message, .. } => {
                asked.push(("form", message));
                json!({ "action": "accept", "content": { "colour": COLOUR } })
            }
            _ => json!({ "action": "cancel" }),
        }))
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        Ok(parsed(json!({ "role": "assistant", "content": { "type": "text", "text": THOUGHT }, "model": "none" })))
    }

    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        Ok(parsed(json!({ "roots": [{ "uri": ROOT }] })))
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.progress.lock().expect("no panic holds it").push(params.progress);
    }

    async fn on_logging_message(&self, params: LoggingMessageNotificationParam, _: NotificationContext<RoleClient>) {
        self.logs.lock().expect("no panic holds it").push(params.data.as_str().unwrap_or_default().to_owned());
    }

    async fn on_resource_updated(&self, params: ResourceUpdatedNotificationParam, _: NotificationContext<RoleClient>) {
        self.updates_of(&params.uri).notify_one();
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

struct Client {
    service: RunningService<RoleClient, Ears>,
    ears: Ears,
    modern: bool,
}

/// News of a resource or of the tool list: handed to the handler, or on a subscription of their own.
enum News {
    Heard(Arc<Notify>),
    Subscribed(Box<Subscription>),
}

impl News {
    async fn next(&mut self) -> Outcome<()> {
        match self {
            Self::Heard(notify) => notify.notified().await,
            Self::Subscribed(subscription) => loop {
                match subscription.next().await.map_err(told)? {
                    Some(
                        ServerNotification::ToolListChangedNotification(_)
                        | ServerNotification::ResourceUpdatedNotification(_),
                    ) => break,
                    Some(_) => {}
                    None => return Err("the subscription ended".to_owned()),
                }
            },
        }
        Ok(())
    }
}

impl Client {
    async fn call(&self, name: &str, arguments: Value) -> Outcome<String> {
        self.call_with(json!({ "name": name, "arguments": arguments })).await
    }

    async fn call_with(&self, params: Value) -> Outcome<String> {
        let result = self.service.call_tool(parsed(params)).await.map_err(told)?;
        text_of(&result)
    }

    async fn tools(&self) -> Outcome<Vec<String>> {
        // Not the peer's own list, which it keeps for as long as the server allows.
        let result = self.service.list_tools(None).await.map_err(told)?;
        Ok(result.tools.into_iter().map(|tool| tool.name.into_owned()).collect())
    }

    async fn read(&self, uri: &str) -> Outcome<String> {
        let result = self.service.read_resource(parsed(json!({ "uri": uri }))).await.map_err(told)?;
        let value = serde_json::to_value(result).map_err(told)?;
        Ok(value["contents"][0]["text"].as_str().unwrap_or_default().to_owned())
    }

    async fn news(&self, uri: Option<&str>) -> Outcome<News> {
        if self.modern {
            let filter: SubscriptionFilter = parsed(match uri {
                Some(uri) => json!({ "resourceSubscriptions": [uri] }),
                None => json!({ "toolsListChanged": true }),
            });
            return Ok(News::Subscribed(Box::new(self.service.listen(filter).await.map_err(told)?)));
        }
        Ok(News::Heard(match uri {
            Some(uri) => {
                self.service.subscribe(parsed(json!({ "uri": uri }))).await.map_err(told)?;
                self.ears.updates_of(uri)
            }
            None => Arc::clone(&self.ears.changed),
        }))
    }

    async fn touch(&self, key: &str, news: &mut News) -> Outcome<()> {
        let mut coming = std::pin::pin!(news.next());
        loop {
            self.call("touch", json!({ "key": key })).await?;
            if let Ok(heard) = timeout(NEWS, &mut coming).await {
                return heard;
            }
        }
    }

    /// A task of the extension is asked for until it is done.
    async fn job(&self, key: &str) -> Outcome<String> {
        let params: CallToolRequestParams = parsed(json!({ "name": "job", "arguments": { "key": key } }));
        let peer: &Peer<RoleClient> = &self.service;
        match peer.call_tool_once(params).await.map_err(told)? {
            CallToolResponse::Complete(result) => text_of(&result),
            CallToolResponse::Task(made) => loop {
                let told_of = peer.get_task(parsed(json!({ "taskId": made.task.task_id }))).await.map_err(told)?;
                match told_of.task.status() {
                    TaskStatus::Working => {
                        sleep(Duration::from_millis(made.task.poll_interval_ms.unwrap_or(100))).await
                    }
                    TaskStatus::Completed => {
                        let value = serde_json::to_value(&told_of).map_err(told)?;
                        break Ok(value["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned());
                    }
                    other => break Err(format!("the task is {other:?}")),
                }
            },
            _ => Err("asked for input".to_owned()),
        }
    }
}

fn text_of(result: &CallToolResult) -> Outcome<String> {
    let value = serde_json::to_value(result).map_err(told)?;
    let text = value["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    if value["isError"] == json!(true) { Err(text) } else { Ok(text) }
}

fn expect(condition: bool, what: impl FnOnce() -> String) -> Outcome<()> {
    if condition { Ok(()) } else { Err(what()) }
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn parsed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("what this program wrote itself")
}

/// What the servers wrote down.
struct Written(PathBuf);

impl Written {
    fn lines(&self) -> Vec<String> {
        std::fs::read_to_string(&self.0).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn count(&self, word: &str) -> usize {
        self.lines().iter().filter(|line| *line == word).count()
    }

    async fn until(&self, words: &[&str]) {
        while !self.lines().iter().any(|line| words.contains(&line.as_str())) {
            sleep(LOOK).await;
        }
    }
}

async fn step(client: &Client, feature: &str, key: &str, written: &Written) -> Outcome<String> {
    let ears = &client.ears;
    match feature {
        "list" => {
            let tools = client.tools().await?;
            expect(TOOLS.iter().all(|name| tools.iter().any(|tool| tool == name)), || format!("tools: {tools:?}"))?;
            let uris = client.service.list_resources(None).await.map_err(told)?.resources;
            expect(uris.iter().any(|resource| resource.uri == "note://board"), || format!("resources: {uris:?}"))?;
            let text = client.read("note://board").await?;
            expect(text == "as it was", || format!("note://board: {text}"))?;
        }
        "call" => {
            let text = client.call("echo", json!({ "message": "good morning ☼" })).await?;
            expect(text == "good morning ☼", || format!("echo: {text}"))?;
            for times in ["1", "2"] {
                let counted = client.call("count", json!({ "key": key })).await?;
                expect(counted == times, || format!("count: {counted} instead of {times}"))?;
            }
            expect(written.count("done") == 2, || format!("ran: {:?}", written.lines()))?;
        }
        "progress" => {
            let text = client.call("slow", json!({ "key": key, "steps": STEPS })).await?;
            expect(text == "finished", || format!("slow: {text}"))?;
            let values = ears.progress.lock().expect("no panic holds it").clone();
            expect(values.len() >= 2 && values.is_sorted_by(|left, right| left < right), || {
                format!("progress: {values:?}")
            })?;
        }
        "cancel" => {
            let request = ClientRequest::CallToolRequest(CallToolRequest::new(parsed(
                json!({ "name": "slow", "arguments": { "key": key, "steps": "1000" } }),
            )));
            let handle = client
                .service
                .send_cancellable_request(request, PeerRequestOptions::no_options())
                .await
                .map_err(told)?;
            written.until(&["start"]).await;
            handle.cancel(Some("changed my mind".to_owned())).await.map_err(told)?;
            written.until(&["cancelled", "done"]).await;
            expect(written.lines() == ["start", "cancelled"], || format!("the server wrote {:?}", written.lines()))?;
        }
        "elicit_form" => {
            let text = client.call("ask", json!({ "key": key })).await?;
            expect(text == format!("accept {COLOUR}"), || format!("ask: {text}"))?;
            let asked = ears.asked.lock().expect("no panic holds it").clone();
            expect(asked.iter().filter(|(mode, _)| *mode == "form").count() == 1, || format!("asked: {asked:?}"))?;
        }
        "elicit_url" => {
            let text = client.call("open", json!({ "key": key })).await?;
            expect(text == "accept", || format!("open: {text}"))?;
            let asked = ears.asked.lock().expect("no panic holds it").clone();
            expect(asked.last() == Some(&("url", PAGE.to_owned())), || format!("asked: {asked:?}"))?;
        }
        "sampling" => {
            let text = client.call("think", json!({ "key": key })).await?;
            expect(text == THOUGHT, || format!("think: {text}"))?;
        }
        "roots" => {
            let text = client.call("where", json!({ "key": key })).await?;
            expect(text == ROOT, || format!("where: {text}"))?;
        }
        "subscribe" => {
            let uri = format!("note://{key}");
            let text = client.read(&uri).await?;
            expect(text == "as it was", || "the note was touched before".to_owned())?;
            let mut news = client.news(Some(&uri)).await?;
            client.touch(key, &mut news).await?;
            let text = client.read(&uri).await?;
            expect(text == "changed", || "the note is not changed".to_owned())?;
        }
        "list_changed" => {
            let mut news = client.news(None).await?;
            client.touch(key, &mut news).await?;
            // Somebody else may have changed the list too, and each change is told once.
            while !client.tools().await?.contains(&format!("new_{key}")) {
                news.next().await?;
            }
        }
        "prompts" => {
            let prompts = client.service.list_prompts(None).await.map_err(told)?.prompts;
            expect(prompts.len() == 1 && prompts[0].name == "greet", || format!("prompts: {prompts:?}"))?;
            let prompt =
                client.service.get_prompt(parsed(json!({ "name": "greet", "arguments": { "name": "Ada" } }))).await;
            let value = serde_json::to_value(prompt.map_err(told)?).map_err(told)?;
            expect(value["messages"][0]["content"]["text"] == "Hello, Ada!", || format!("greet: {value}"))?;
        }
        "completion" => {
            let values = client.service.complete_prompt_simple("greet", "name", "par").await.map_err(told)?;
            expect(values == ["paris", "park", "party"], || format!("completion: {values:?}"))?;
        }
        "logging" => {
            if client.modern {
                let meta = json!({ "io.modelcontextprotocol/logLevel": "info" });
                client.call_with(json!({ "name": "chat", "arguments": { "key": key }, "_meta": meta })).await?;
            } else {
                client.service.set_level(parsed(json!({ "level": "info" }))).await.map_err(told)?;
                client.call("chat", json!({ "key": key })).await?;
            }
            let wanted = [format!("info {key}"), format!("warning {key}")];
            while ears.logs.lock().expect("no panic holds it").len() < wanted.len() {
                sleep(LOOK).await;
            }
            let mut logs = ears.logs.lock().expect("no panic holds it").clone();
            // Each is handled by a task of its own.
            logs.sort();
            expect(logs == wanted, || format!("logs: {logs:?}"))?;
        }
        "tasks" => {
            let text = client.job(key).await?;
            expect(text == "job done", || format!("job: {text}"))?;
        }
        // A client without tasks gets the plain result of a tool that makes one.
        "plain_job" => {
            let text = client.call("job", json!({ "key": key })).await?;
            expect(text == "job done", || format!("job: {text}"))?;
        }
        // What cannot be must be refused, clearly, and must not run to its end.
        _ => {
            let tool = match feature {
                "no_elicit_form" => "ask",
                "no_elicit_url" => "open",
                "no_tasks" => "job",
                _ => return Err(format!("there is no feature {feature}")),
            };
            return match client.call(tool, json!({ "key": key })).await {
                Ok(text) => Err(format!("not refused but answered: {text}")),
                Err(_) if written.count("done") > 0 => Err("the tool ran to its end all the same".to_owned()),
                Err(error) => Ok(error),
            };
        }
    }
    Ok(String::new())
}

async fn connected(options: &HashMap<String, String>) -> Result<Client, Box<dyn std::error::Error>> {
    let target: Value = serde_json::from_str(&options["target"])?;
    let declare = options.get("declare").map_or("elicitation,sampling,roots", String::as_str);
    let capabilities: serde_json::Map<_, _> = declare
        .split(',')
        .filter_map(|name| match name {
            "elicitation" => Some((name.to_owned(), json!({ "form": {}, "url": {} }))),
            "tasks" => Some(("extensions".to_owned(), json!({ "io.modelcontextprotocol/tasks": {} }))),
            "" => None,
            _ => Some((name.to_owned(), json!({}))),
        })
        .collect();
    let ears = Ears { capabilities: Value::Object(capabilities), ..Ears::default() };
    let mut config = StreamableHttpClientTransportConfig::with_uri(target["url"].as_str().unwrap_or_default());
    let mut headers = HashMap::new();
    for (name, value) in target["headers"].as_object().into_iter().flatten() {
        headers.insert(name.parse()?, value.as_str().unwrap_or_default().parse()?);
    }
    config = config.custom_headers(headers);
    let transport = StreamableHttpClientTransport::from_config(config);
    let modern = options.get("mode").is_some_and(|mode| mode != "legacy");
    let service = if modern {
        let mode = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
        ears.clone().serve_with_lifecycle(transport, mode).await?
    } else {
        ears.clone().serve(transport).await?
    };
    Ok(Client { service, ears, modern })
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options: HashMap<String, String> =
        words.chunks_exact(2).map(|pair| (pair[0].trim_start_matches('-').to_owned(), pair[1].clone())).collect();
    let client = match connected(&options).await {
        Ok(client) => client,
        Err(error) => {
            eprintln!("cannot connect: {error}");
            exit(1);
        }
    };
    let revision = client.service.peer_info().map_or_else(String::new, |info| info.protocol_version.to_string());
    println!("{}", json!({ "revision": revision }));
    for feature in options["features"].split(',') {
        let key = format!("{}-{feature}", options["key"]).replace('_', "-");
        let written = Written(Path::new(&options["state"]).join(&key));
        let outcome = timeout(PATIENCE, step(&client, feature, &key, &written)).await;
        let (ok, why) = match outcome {
            Ok(Ok(why)) => (true, why),
            Ok(Err(why)) => (false, why),
            Err(_) => (false, format!("nothing for {} s", PATIENCE.as_secs())),
        };
        let why: String = why.chars().take(600).collect();
        let (starts, ends) = (written.count("start"), written.count("done"));
        println!("{}", json!({ "feature": feature, "ok": ok, "why": why, "starts": starts, "ends": ends }));
    }
    if let Err(error) = client.service.cancel().await {
        eprintln!("{error}");
    }
}
