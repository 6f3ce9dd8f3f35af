//! A whole gateway on real sockets with a clock that the test moves.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use portcullis_base::{Clock, ManualClock, PersonId, Rng, Secret, ServerName, Timestamp};
use portcullis_gateway::{
    Running, Surroundings,
    app::App,
    config::{Config, Sources},
    password, start,
    system::SystemRng,
};
use portcullis_policy::Access;
use portcullis_store::{NewPerson, Paging, ServerRow};
use tempfile::TempDir;

use crate::{
    http::{Request, request},
    person::{Browser, Client, Tokens},
};

/// The name and password of the person that every test gateway has.
pub const ALICE: (&str, &str) = ("alice", "correct horse battery");
/// Somebody else.
pub const BOB: (&str, &str) = ("bob", "staple horse correct");

/// A running gateway and its data directory.
pub struct TestGateway {
    /// What its doors share.
    pub app: Arc<App>,
    /// Its clock, which stands still unless it is moved.
    pub clock: Arc<ManualClock>,
    /// `host:port` of the public listener.
    pub authority: String,
    /// The one-time administrator link's secret, while there is no administrator.
    pub invitation: Option<String>,
    running: Option<Running>,
    settings: String,
    access: Unsaid,
    data: PathBuf,
    folder: TempDir,
}

/// What servers may be used for that the settings say nothing of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unsaid {
    /// Everything: most tests are not about that.
    Open,
    /// What the gateway makes of it.
    Safe,
}

impl TestGateway {
    /// A gateway with default settings, the sample server, and Alice and Bob.
    pub async fn start() -> Result<Self> {
        Self::with("").await
    }

    /// The same with some settings (YAML).
    pub async fn with(settings: &str) -> Result<Self> {
        let house = Self::without_people(settings).await?;
        house.person(ALICE, false, &[]).await?;
        house.person(BOB, false, &[]).await?;
        Ok(house)
    }

    /// The same where servers of which nothing else is said may be used as the gateway has it by itself.
    pub async fn by_default(settings: &str) -> Result<Self> {
        let house = Self::empty(settings, Unsaid::Safe).await?;
        house.person(ALICE, false, &[]).await?;
        house.person(BOB, false, &[]).await?;
        Ok(house)
    }

    /// The same with nobody in it.
    pub async fn without_people(settings: &str) -> Result<Self> {
        Self::empty(settings, Unsaid::Open).await
    }

    async fn empty(settings: &str, access: Unsaid) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let (running, authority) =
            Box::pin(run(folder.path(), settings, "127.0.0.1:0", (clock.clone(), access))).await?;
        Ok(Self {
            app: running.app.clone(),
            clock,
            authority,
            invitation: running.invitation.clone(),
            running: Some(running),
            settings: settings.to_owned(),
            access,
            data,
            folder,
        })
    }

    /// Adds an account.
    pub async fn person(&self, login: (&str, &str), admin: bool, groups: &[&str]) -> Result<PersonId> {
        let rng = SystemRng::new();
        let person = NewPerson {
            id: PersonId::random(&rng),
            name: login.0.into(),
            display_name: login.0.into(),
            email: None,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            password_hash: Some(hash(login.1)),
            admin_at: admin.then(|| self.clock.now()),
        };
        let person = self.app.store.create_person(&person, self.clock.now()).await?;
        self.app.feed.catch_up().await.map_err(|error| anyhow!("{error}"))?;
        Ok(person.id)
    }

    /// Puts a server behind the gate.
    pub async fn protect(&self, name: &str, upstream: SocketAddr) -> Result<()> {
        self.protect_as(serde_json::json!({ "name": name, "url": format!("http://{upstream}/mcp") })).await
    }

    /// Puts a server behind the gate with an entry of the test's own making: access, timeouts. Groups that are only named may
    /// do everything, and so may everybody if there is none.
    pub async fn protect_as(&self, mut entry: serde_json::Value) -> Result<()> {
        let groups = entry["access"].as_array().cloned().unwrap_or_else(|| vec!["*".into()]);
        let open = |group: serde_json::Value| match group {
            serde_json::Value::String(group) => serde_json::json!({ "group": group, "allow": ["*"] }),
            named => named,
        };
        entry["access"] = groups.into_iter().map(open).collect();
        let name = entry["name"].as_str().unwrap_or_default();
        let name = ServerName::parse(name).map_err(|error| anyhow!("{error}"))?;
        let row =
            ServerRow { name, entry_json: entry.to_string(), created_at: self.clock.now(), created_by: "test".into() };
        self.app.store.put_server(&row, self.clock.now()).await?;
        self.app.feed.catch_up().await.map_err(|error| anyhow!("{error}"))
    }

    /// One client of `login` with tokens for each of `servers`.
    pub async fn client_of(&self, servers: &[&str], login: (&str, &str)) -> Result<(Client, Vec<Tokens>)> {
        let client = Client::register(&self.authority, "A test client").await?;
        let mut browser = Browser::new(&self.authority);
        let mut tokens = Vec::new();
        for server in servers {
            let code = client.code(&mut browser, server, login).await?;
            tokens.push(client.redeem(&code).await?);
        }
        Ok((client, tokens))
    }

    /// A signed-in client of `login` for `server`.
    pub async fn client(&self, server: &str, login: (&str, &str)) -> Result<(Client, Tokens)> {
        Client::signed_in(&self.authority, server, login).await
    }

    /// A request.
    pub fn request(&self, method: &str, target: &str) -> Request {
        request(&self.authority, method, target)
    }

    /// A request of the stateless revision with everything in order.
    pub fn modern(&self, server: &str, token: &str, id: i64, method: &str, params: serde_json::Value) -> Request {
        let mut params = params;
        params["_meta"] = serde_json::json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": { "name": "house", "version": "1" }
        });
        let body = serde_json::json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let mut request = self
            .request("POST", &format!("/mcp/{server}"))
            .bearer(token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        for key in ["name", "uri"] {
            if let Some(name) =
                params[key].as_str().filter(|_| ["tools/call", "prompts/get", "resources/read"].contains(&method))
            {
                request = request.header("mcp-name", name);
            }
        }
        request.json(&body)
    }

    /// A call of a tool in the stateless revision.
    pub fn call(&self, server: &str, token: &str, tool: &str, arguments: serde_json::Value) -> Request {
        self.modern(server, token, 1, "tools/call", serde_json::json!({ "name": tool, "arguments": arguments }))
    }

    /// Opens a session of the 2025-11-25 revision; gives its id.
    pub async fn session(&self, server: &str, token: &str) -> Result<String> {
        let body = serde_json::json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": { "elicitation": {} },
            "clientInfo": { "name": "house", "version": "1" } } });
        let answer = self
            .request("POST", &format!("/mcp/{server}"))
            .bearer(token)
            .header("accept", "application/json, text/event-stream")
            .json(&body)
            .send()
            .await?;
        let session = answer
            .header("mcp-session-id")
            .with_context(|| format!("no session: {} {}", answer.status, answer.text()))?;
        let session = session.to_owned();
        let ready = serde_json::json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        self.legacy(server, token, &session, &ready).send().await?;
        Ok(session)
    }

    /// A message in a session of the 2025-11-25 revision.
    pub fn legacy(&self, server: &str, token: &str, session: &str, body: &serde_json::Value) -> Request {
        self.request("POST", &format!("/mcp/{server}"))
            .bearer(token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-session-id", session)
            .header("mcp-protocol-version", "2025-11-25")
            .json(body)
    }

    /// Every line of the journal so far.
    pub async fn journal(&self) -> Result<Vec<serde_json::Value>> {
        // Ends of calls are written with the next group.
        self.app.journal.tick().await;
        let mut lines = Vec::new();
        for file in files(&self.data.join("journal"), "jsonl") {
            for line in fs::read_to_string(file)?.lines() {
                lines.push(serde_json::from_str(line)?);
            }
        }
        Ok(lines)
    }

    /// The journal's lines of one kind.
    pub async fn events(&self, kind: &str) -> Result<Vec<serde_json::Value>> {
        Ok(self.journal().await?.into_iter().filter(|line| line["event"] == kind).collect())
    }

    /// Everything the gateway has written to its data directory, for looking whether a secret is in it.
    pub fn written(&self) -> Vec<u8> {
        files(&self.data, "").into_iter().filter_map(|file| fs::read(file).ok()).flatten().collect()
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Waits until no connection is being renewed. One that is renewed when a clock leaps has been away for all that time,
    /// which is longer than a provider is lenient.
    pub async fn rest(&self) -> Result<()> {
        let enough = Instant::now() + Duration::from_secs(30);
        loop {
            let all = self.app.store.all_connections(Paging { skip: 0, take: 1000 }).await?;
            if all.items.iter().all(|connection| connection.refresh_begun_at.is_none()) {
                return Ok(());
            }
            ensure!(Instant::now() < enough, "a connection is being renewed without end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Moves the clock and lets the gateway notice.
    pub async fn advance(&self, by: Duration) -> Result<()> {
        self.clock.advance(by);
        self.app.feed.load_signing_keys().await.map_err(|error| anyhow!("{error}"))
    }

    /// Asks the providers about everybody for whom that is due, as a job does from time to time.
    pub async fn renew_groups(&self) -> Result<()> {
        self.app.renewal().round().await.map(drop).map_err(|error| anyhow!("{error}"))
    }

    /// Renews the connections for which that is due, as a job does from time to time.
    pub async fn renew_connections(&self) -> Result<()> {
        self.app.connections.round().await.map(drop).map_err(|error| anyhow!("{error}"))
    }

    /// Stops it and starts it again where it was, with what it had written down and nothing else.
    pub async fn restart(self) -> Result<Self> {
        let settings = self.settings.clone();
        self.restart_with(&settings).await
    }

    /// The same with other settings.
    pub async fn restart_with(self, settings: &str) -> Result<Self> {
        self.stopped_for(settings, |_| Ok(())).await
    }

    /// The same, and meanwhile something is done to its data directory.
    pub async fn restart_having(self, done: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let settings = self.settings.clone();
        self.stopped_for(&settings, done).await
    }

    async fn stopped_for(self, settings: &str, done: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let Self { app, clock, authority, running, access, data, folder, .. } = self;
        let settings = settings.to_owned();
        drop(app);
        if let Some(running) = running {
            running.stop().await.map_err(|error| anyhow!("{error}"))?;
        }
        done(&data)?;
        let (running, authority) = Box::pin(run(folder.path(), &settings, &authority, (clock.clone(), access))).await?;
        let (app, invitation) = (running.app.clone(), running.invitation.clone());
        Ok(Self { app, clock, authority, invitation, running: Some(running), settings, access, data, folder })
    }

    /// Stops the gateway.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(running) = self.running.take() {
            running.stop().await.map_err(|error| anyhow!("{error}"))?;
        }
        Ok(())
    }
}

async fn run(
    folder: &Path,
    settings: &str,
    listen: &str,
    (clock, access): (Arc<ManualClock>, Unsaid),
) -> Result<(Running, String)> {
    let data = folder.join("data");
    let text = format!("data: {}\nlisten: {listen}\noperations: 127.0.0.1:0\n{settings}\n", data.display());
    let sources = Sources { file: Some(("portcullis.yaml".into(), text)), ..Sources::default() };
    let mut config = Config::load(&sources).map_err(|problems| anyhow!("{problems}"))?.config;
    let mut sample = Access::default();
    if access == Unsaid::Open {
        let unsaid = config.servers.iter_mut().map(|server| &mut server.access).chain([&mut sample]);
        unsaid.filter(|access| **access == Access::default()).for_each(|access| *access = Access::open());
    }
    let rng = Arc::new(SystemRng::new());
    let surroundings = Surroundings { clock, rng, sample: Some(sample), launcher: launcher()? };
    let running = start(config, surroundings).await?;
    let authority = running.app.config.listen.to_string();
    Ok((running, authority))
}

/// Hashing is slow on purpose; the tests hash each password once.
fn hash(password: &str) -> Secret {
    static KNOWN: OnceLock<[(String, Secret); 2]> = OnceLock::new();
    let rng = SystemRng::new();
    let make = |password: &str| password::hash(&Secret::new(password.into()), &rng as &dyn Rng);
    let known = KNOWN.get_or_init(|| [ALICE, BOB].map(|(_, password)| (password.to_owned(), make(password))));
    known.iter().find(|(known, _)| known == password).map_or_else(|| make(password), |(_, hash)| hash.clone())
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if extension.is_empty() || path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What starts servers that are commands: built beside the tests.
pub fn launcher() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let built = test.parent().and_then(Path::parent).context("a test is in a directory of the build")?;
    Ok(built.join("launcher"))
}
