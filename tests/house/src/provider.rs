//! Identity providers beside the gateway: the programs in `tests/identity`, and what a test tells them.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    gateway::TestGateway,
    http::{Trust, request},
};

/// The secret of the client that every provider has.
const SECRET: &str = "portcullis-secret";

/// When every test begins, for gateway and providers.
pub const BEGINNING: u64 = 1_800_000_000;

/// Providers in one process with a clock of their own, which stands as still as the gateway's. They end with it.
pub struct Providers {
    control: String,
    authority: PathBuf,
    known: Map<String, Value>,
    _process: Child,
    folder: TempDir,
}

/// One of them.
#[derive(Clone, Copy)]
pub struct Provider<'a> {
    all: &'a Providers,
    id: &'a str,
}

impl Providers {
    /// Starts providers by id, of the kinds in `tests/identity`: `{"company": {"kind": "oidc"}}`. Each knows Alice and Bob.
    ///
    /// `None` where the program cannot run, which is a failure where everything must be tried.
    pub async fn start(providers: Value) -> Result<Option<Self>> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../identity/provider.mjs");
        let Some(node) = self::program(&program, "oidc-provider") else { return Ok(None) };
        let folder = tempfile::tempdir()?;
        let options = json!({ "directory": folder.path(), "clock": BEGINNING, "providers": providers });
        let mut process = Command::new(node)
            .arg(program)
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the identity providers")?;
        let mut lines = BufReader::new(process.stdout.take().context("its output")?).lines();
        let line = lines.next_line().await?.context("the identity providers did not start")?;
        let ready: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
        std::fs::write(folder.path().join("secret"), SECRET)?;
        let providers = Self {
            control: text(&ready["control"])?,
            authority: text(&ready["authority"])?.into(),
            known: ready["providers"].as_object().cloned().unwrap_or_default(),
            _process: process,
            folder,
        };
        for id in providers.known.keys() {
            for name in ["alice", "bob"] {
                let email = format!("{name}@example.com");
                providers.get(id).account(name, json!({ "email": email })).await?;
            }
        }
        Ok(Some(providers))
    }

    /// The only one, called `company`, of one kind.
    pub async fn company(kind: &str) -> Result<Option<Self>> {
        Self::start(json!({ "company": { "kind": kind } })).await
    }

    /// One of them.
    pub fn get<'a>(&'a self, id: &'a str) -> Provider<'a> {
        Provider { all: self, id }
    }

    /// Settings of a gateway that trusts them all, with these members for each: kind, claims, domains and so on.
    ///
    /// `identity` is what stands beside the providers, for example `{"local_accounts": true}`.
    pub fn settings(&self, identity: Value, each: &[(&str, Value)]) -> Result<String> {
        let outbound = json!({ "ca_file": self.authority, "private_hosts": self.hosts() });
        // JSON is YAML.
        Ok(format!("{}outbound: {outbound}\n", self.identity(identity, each)))
    }

    /// The same without what concerns the network.
    pub fn identity(&self, identity: Value, each: &[(&str, Value)]) -> String {
        let mut list = Vec::new();
        for (id, members) in each {
            let mut entry = json!({ "id": id, "issuer": self.get(id).issuer(), "client_id": "portcullis",
                "client_secret": format!("file:{}", self.folder.path().join("secret").display()) });
            merge(&mut entry, members);
            list.push(entry);
        }
        let mut identity = identity;
        identity["providers"] = list.into();
        format!("identity: {identity}\n")
    }

    /// `host:port` of each.
    pub fn hosts(&self) -> Vec<&str> {
        self.known.values().filter_map(|known| known["host"].as_str()).collect()
    }

    /// A gateway with one provider called `company` and no local accounts, introduced to each other.
    pub async fn gateway(&self, members: Value) -> Result<TestGateway> {
        self.gateway_with(json!({}), &[("company", members)], "").await
    }

    /// A gateway with some of the providers and more settings (YAML), introduced to each other.
    pub async fn gateway_with(&self, identity: Value, each: &[(&str, Value)], more: &str) -> Result<TestGateway> {
        let house = TestGateway::without_people(&format!("{}{more}", self.settings(identity, each)?)).await?;
        for (id, _) in each {
            self.get(id).introduce(&house).await?;
        }
        Ok(house)
    }

    /// Moves the providers' clock.
    pub async fn advance(&self, by: std::time::Duration) -> Result<()> {
        self.tell("/clock", &json!({ "by": by.as_secs() })).await.map(drop)
    }

    /// What a browser trusts that meets them.
    pub fn trust(&self) -> Result<Trust> {
        Trust::of(&self.authority)
    }

    /// The certificate of their authority.
    pub fn authority(&self) -> &Path {
        &self.authority
    }

    /// Where a test may leave a file for the settings to point at.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn tell(&self, path: &str, what: &Value) -> Result<Value> {
        let answer = request(&self.control, "POST", path).json(what).send().await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        Ok(answer.json())
    }
}

impl Provider<'_> {
    /// The issuer, as its document says it.
    pub fn issuer(&self) -> &str {
        self.all.known[self.id]["issuer"].as_str().unwrap_or_default()
    }

    /// `host:port`.
    pub fn host(&self) -> &str {
        self.all.known[self.id]["host"].as_str().unwrap_or_default()
    }

    /// Registers the gateway: the redirect address of this provider, back-channel logout, where a browser returns to.
    pub async fn introduce(&self, house: &TestGateway) -> Result<()> {
        let base = format!("http://{}", house.authority);
        self.client(json!({ "redirect_uris": [format!("{base}/login/{}/callback", self.id)],
            "post_logout_redirect_uris": [format!("{base}/logout")],
            "backchannel_logout_uri": format!("{base}/login/{}/back-channel", self.id),
            "backchannel_logout_session_required": true }))
            .await
    }

    /// Changes the client `portcullis`, or another one (`client_id`).
    pub async fn client(&self, members: Value) -> Result<()> {
        self.tell("client", &members).await.map(drop)
    }

    /// Adds an account, or changes what is given: groups, email, `disabled`, claims.
    pub async fn account(&self, login: &str, members: Value) -> Result<()> {
        let mut account = json!({ "login": login });
        merge(&mut account, &members);
        self.tell("account", &account).await.map(drop)
    }

    /// Somebody has a session there already and is asked nothing; `None`: sign-in by form again.
    pub async fn knows(&self, login: Option<&str>) -> Result<()> {
        self.set(json!({ "auto": login })).await
    }

    /// Settings of the provider: `consent`, `offline`, `iss` and so on.
    pub async fn set(&self, members: Value) -> Result<()> {
        self.tell("set", &members).await.map(drop)
    }

    /// From now on its answers are like that (`faults.mjs`); `{}` ends it.
    pub async fn fault(&self, fault: Value) -> Result<()> {
        self.tell("fault", &fault).await.map(drop)
    }

    /// New keys; `{"keep": true}` leaves the old ones published.
    pub async fn rotate(&self, how: Value) -> Result<()> {
        self.tell("rotate", &how).await.map(drop)
    }

    /// `up`, `down` (nobody answers the door) or `silent` (nobody says a word).
    pub async fn becomes(&self, state: &str) -> Result<()> {
        self.tell("become", &json!({ "state": state })).await.map(drop)
    }

    /// Ends somebody's session by a back-channel logout token.
    pub async fn logout(&self, login: &str) -> Result<()> {
        self.tell("logout", &json!({ "login": login })).await.map(drop)
    }

    /// A token signed with its key; `iss`, `iat`, `exp` and `jti` are there unless the payload says otherwise.
    pub async fn sign(&self, header: Value, payload: Value) -> Result<String> {
        let answer = self.tell("sign", &json!({ "header": header, "payload": payload })).await?;
        answer["token"].as_str().map(str::to_owned).context("a token")
    }

    /// Its public keys, as it publishes them.
    pub async fn keys(&self) -> Result<Value> {
        let url = url::Url::parse(self.issuer())?;
        let path = format!("{}/jwks", url.path().trim_end_matches('/'));
        Ok(request(self.host(), "GET", &path).over(&self.all.trust()?).send().await?.json())
    }

    /// The key file of a service account of its directory, written down for the settings; gives where.
    pub async fn service_account(&self) -> Result<PathBuf> {
        let file = self.all.folder.path().join(format!("{}.json", self.id));
        std::fs::write(&file, self.tell("service-account", &json!({})).await?.to_string())?;
        Ok(file)
    }

    /// How often a path (below the issuer's) was asked since the last [`forget`](Self::forget).
    pub async fn seen(&self, path: &str) -> Result<u64> {
        let paths = self.tell("seen", &json!({})).await?["paths"].take();
        let count = |(asked, count): (&String, &Value)| asked.ends_with(path).then(|| count.as_u64()).flatten();
        Ok(paths.as_object().into_iter().flatten().filter_map(count).sum())
    }

    /// How often anything was asked but what the gateway looks up of its own accord, at any moment.
    pub async fn contacts(&self) -> Result<usize> {
        let ours = |url: &str| url.contains("/.well-known/") || url.ends_with("/jwks");
        let seen = self.tell("seen", &json!({})).await?;
        let requests = seen["requests"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(requests.iter().filter(|request| !request["url"].as_str().is_some_and(ours)).count())
    }

    /// Counts from nothing again.
    pub async fn forget(&self) -> Result<()> {
        self.tell("forget", &json!({})).await.map(drop)
    }

    async fn tell(&self, verb: &str, what: &Value) -> Result<Value> {
        self.all.tell(&format!("/{}/{verb}", self.id), what).await
    }
}

fn merge(into: &mut Value, members: &Value) {
    for (name, value) in members.as_object().into_iter().flatten() {
        into[name] = value.clone();
    }
}

/// The Node that runs a program with its packages, where both are installed.
pub(crate) fn program(script: &Path, package: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "which programs there are is said by the surroundings of the run")]
    let variable = |name: &str| std::env::var(name).ok();
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/node/bin/node");
    let node = variable("PORTCULLIS_TEST_NODE").map_or_else(own, PathBuf::from);
    let packages = script.parent().is_some_and(|folder| folder.join("node_modules").join(package).exists());
    let there = packages && node.exists();
    let must = variable("CI").is_some_and(|value| value == "true" || value == "1");
    assert!(there || !must, "{} or the packages of {} are missing", node.display(), script.display());
    if !there {
        #[expect(clippy::print_stderr, reason = "a test that is left out says so")]
        {
            eprintln!("left out: nothing to run {} with; `./test` installs it", script.display());
        }
    }
    there.then_some(node)
}
