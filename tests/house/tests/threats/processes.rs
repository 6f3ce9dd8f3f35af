//! T-88, T-89: a server that is a process of this machine, and hostile. Each line here is a real process behind real walls;
//! what it may do is decided by the kernel. Where a kernel lacks a wall, another one does the same, and where that cannot
//! be, nothing is started: `standing` says which.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::PermissionsExt,
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use portcullis_base::{Holder, PersonId, Secret, ServerName};
use portcullis_gateway::{
    config::{Entry, Environment, Network, Process, ProcessLimits, Sandbox},
    outbound::{Dialer, Resolve, Resolving},
    upstream::{
        Credential, UpstreamError,
        line::{Ended, Line, Lines, Whose},
        stdio::{Host, Processes},
    },
};
use portcullis_house::gateway::launcher;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take that has to come to an end, on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place to run hostile servers in.
struct Stage {
    folder: TempDir,
    host: Arc<Host>,
    hostile: PathBuf,
    /// What tells the processes of this test from all others.
    mark: String,
    dialer: Dialer,
}

impl Stage {
    async fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // Everybody may look in here, so that it is the walls that keep people out.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let hostile = folder.path().join("hostile");
        fs::copy(launcher()?.with_file_name("hostile"), &hostile)?;
        let host = Host::with_launcher(launcher()?, &folder.path().join("data"));
        let number = u32::from_be_bytes(
            portcullis_base::Digest::of(folder.path().as_os_str().as_encoded_bytes()).as_bytes()[..4].try_into()?,
        );
        let dialer = Dialer::new([])?;
        let stage = Self { folder, host, hostile, mark: format!("31536000.{number:010}"), dialer };
        // What this machine cannot do is never a reason for a test to pass without having looked.
        if let Err(why) = stage.host.standing(&Process::default()).await {
            ensure!(why.contains("sandbox: weak"), "{why}");
        }
        Ok(stage)
    }

    /// The least that this machine can run a server with: `standard`, or `weak` where the tests run as root of a container
    /// that gives no name spaces.
    async fn process(&self) -> Process {
        let standard = Process::default();
        match self.host.standing(&standard).await {
            Ok(_) => standard,
            Err(_) => Process { sandbox: Sandbox::Weak, ..standard },
        }
    }

    fn server(&self, argv: &[&str], process: Process) -> Processes {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let name = ServerName::parse("hostile").expect("name");
        Processes::new(name, argv, Arc::new(process), &self.host, self.dialer.clone())
    }

    fn hostile(&self, process: Process) -> Processes {
        self.server(&[self.hostile.to_str().expect("text"), &self.mark], process)
    }

    async fn open(&self, process: Process) -> Result<Line> {
        Ok(self.hostile(process).open(&Whose::default()).await?)
    }

    /// Waits until no process of this test is left.
    async fn empty(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let left = self.left();
            if left.is_empty() {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "left: {left:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        let lines = entries.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
        lines.filter(|line| line.contains(&self.mark)).collect()
    }
}

/// Gives an order and waits for what came of it.
async fn order(line: &mut Line, order: &str, what: &str) -> Result<Result<String, String>> {
    line.send(json!({ "id": 1, "do": order, "what": what }).to_string().into()).await?;
    let answer = tokio::time::timeout(PATIENCE, line.receive()).await?;
    let answer = answer.with_context(|| format!("{order}: it ended: {:?}", line.ended()))?;
    let answer: Value = serde_json::from_str(&answer)?;
    let text = |key: &str| answer[key].as_str().map(str::to_owned);
    Ok(text("ok").ok_or_else(|| text("no").unwrap_or_default()))
}

async fn end(mut line: Line) -> Result<Option<Ended>> {
    while tokio::time::timeout(PATIENCE, line.receive()).await?.is_some() {}
    Ok(line.ended())
}

fn of(person: &str, key: &str) -> Whose {
    let value = http_value(key);
    let person = PersonId::new(person);
    let credential = Credential::new([(http_name(), value)], Holder::Person(person.clone()));
    Whose { person: Some(person), credential, conversation: None }
}

fn http_name() -> hyper::header::HeaderName {
    hyper::header::HeaderName::from_static("server_key")
}

fn http_value(text: &str) -> hyper::header::HeaderValue {
    hyper::header::HeaderValue::from_str(text).expect("letters")
}

// spec: T-88, SEC-31
#[tokio::test]
async fn t88_arguments_are_words_and_no_line_for_a_shell() -> Result<()> {
    let stage = Stage::new().await?;
    let words = [stage.hostile.to_str().context("text")?, "; touch x", "$(id)", "`id`", "-c", "a b", "", "\n&&", "*"];
    let mut line = stage.server(&words, stage.process().await).open(&Whose::default()).await?;
    let seen = order(&mut line, "arguments", "").await?.map_err(anyhow::Error::msg)?;
    assert_eq!(serde_json::from_str::<Vec<String>>(&seen)?, words[1..]);
    let home = order(&mut line, "list", ".").await?;
    assert_eq!(home.as_deref(), Ok(""));
    Ok(())
}

// spec: T-88, T-89, UP-88
#[tokio::test]
async fn t89_environment_has_nothing_but_its_own() -> Result<()> {
    let stage = Stage::new().await?;
    let environment = vec![("LOG_LEVEL".to_owned(), Secret::new("debug".into()))];
    let process = Process { environment, key_variable: Some("SERVER_KEY".into()), ..stage.process().await };
    let server = stage.hostile(process);
    let mut line = server.open(&of("usr_ana", "canary-of-ana")).await?;
    assert_eq!(order(&mut line, "variable", "SERVER_KEY").await?.as_deref(), Ok("canary-of-ana"));
    assert_eq!(order(&mut line, "variable", "LOG_LEVEL").await?.as_deref(), Ok("debug"));
    let all = order(&mut line, "environment", "").await?.map_err(anyhow::Error::msg)?;
    let mut names: Vec<_> = all.split('\0').filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
    names.sort_unstable();
    let known = [
        "HOME",
        "LANG",
        "LOG_LEVEL",
        "PATH",
        "PIP_DISABLE_PIP_VERSION_CHECK",
        "SERVER_KEY",
        "TMPDIR",
        "USER",
        "npm_config_fund",
        "npm_config_ignore_scripts",
        "npm_config_update_notifier",
    ];
    assert_eq!(names, known);
    let nobody = server.open(&Whose::default()).await.err();
    assert!(matches!(nobody, Some(UpstreamError::Credentials { .. })), "{nobody:?}");
    Ok(())
}

// spec: T-89
#[tokio::test]
async fn t89_fork_bomb_is_held_and_nothing_of_it_is_left() -> Result<()> {
    let stage = Stage::new().await?;
    let limits = ProcessLimits { processes: 32, ..ProcessLimits::default() };
    let process = Process { limits, ..stage.process().await };
    let counted = stage
        .host
        .standing(&process)
        .await
        .map_err(anyhow::Error::msg)?
        .lacks
        .iter()
        .all(|lack| !lack.contains("not counted"));
    let mut line = stage.open(process).await?;
    match order(&mut line, "bomb", &stage.mark).await {
        Ok(started) => {
            let started: u32 = started.map_err(anyhow::Error::msg)?.parse()?;
            assert!((1..=64).contains(&started), "{started}");
            drop(line);
        }
        // Where the kernel does not count, it was looked and the whole was ended.
        Err(ended) => assert!(!counted && end(line).await?.is_some(), "{ended}"),
    }
    stage.empty().await
}

// spec: T-89, TR-158
#[tokio::test]
async fn t89_grandchildren_end_with_their_server() -> Result<()> {
    let stage = Stage::new().await?;
    let mut line = stage.open(stage.process().await).await?;
    for how in ["setsid -f sleep", "sh -c", "nohup sleep"] {
        let what = match how {
            "sh -c" => format!("setsid -f setsid -f sleep {}", stage.mark),
            other => format!("{other} {}", stage.mark),
        };
        order(&mut line, "leave", &what).await?.map_err(anyhow::Error::msg)?;
    }
    // It ends by itself; what it left behind does not.
    line.send(json!({ "id": 1, "do": "exit", "what": "7" }).to_string().into()).await?;
    assert_eq!(end(line).await?, Some(Ended::Broke("it ended with status 7".into())));
    stage.empty().await
}

// spec: TR-158
#[tokio::test]
async fn t89_who_ignores_every_request_to_end_is_killed() -> Result<()> {
    let stage = Stage::new().await?;
    let script = "trap '' TERM HUP INT; exec \"$0\" \"$1\"";
    let argv = ["/bin/sh", "-c", script, stage.hostile.to_str().context("text")?, &stage.mark];
    let process = Process { read: vec![stage.hostile.clone()], ..stage.process().await };
    let mut line = stage.server(&argv, process).open(&Whose::default()).await?;
    order(&mut line, "linger", "").await?.map_err(anyhow::Error::msg)?;
    order(&mut line, "leave", &format!("setsid -f sleep {}", stage.mark)).await?.map_err(anyhow::Error::msg)?;
    drop(line);
    stage.empty().await
}

// spec: T-89, TR-151, TR-152
#[tokio::test]
async fn t89_floods_of_output_are_contained() -> Result<()> {
    let stage = Stage::new().await?;
    let mut line = stage.open(stage.process().await).await?;
    assert_eq!(order(&mut line, "noise", "1000").await?.as_deref(), Ok("made"), "some is put up with");
    assert_eq!(order(&mut line, "complain", "100000").await?.as_deref(), Ok("made"), "complaints do not hold it up");
    line.send(json!({ "id": 1, "do": "noise", "what": "10000000" }).to_string().into()).await?;
    let ended = end(line).await?;
    assert_eq!(ended, Some(Ended::Broke("it floods its output with what is no message, so it was ended".into())));
    stage.empty().await
}

// spec: T-89
#[tokio::test]
async fn t89_memory_is_held() -> Result<()> {
    let stage = Stage::new().await?;
    let limits = ProcessLimits { memory: 64 << 20, ..ProcessLimits::default() };
    let mut line = stage.open(Process { limits, ..stage.process().await }).await?;
    assert_eq!(order(&mut line, "eat", "500").await?, Err("no more memory".into()));
    Ok(())
}

// spec: TR-159, T-45
#[tokio::test]
async fn t89_crash_loop_is_bounded_and_says_how_it_ended() -> Result<()> {
    let stage = Stage::new().await?;
    let process = Process { key_variable: Some("SERVER_KEY".into()), ..stage.process().await };
    let server = stage.hostile(process);
    let ana = of("usr_ana", "canary-of-ana");
    let mut line = server.open(&ana).await?;
    order(&mut line, "tell", "cannot use canary-of-ana").await?.map_err(anyhow::Error::msg)?;
    line.send(json!({ "id": 1, "do": "exit", "what": "3" }).to_string().into()).await?;
    let how = "it ended with status 3; the last it said: cannot use [secret]";
    assert_eq!(end(line).await?, Some(Ended::Broke(how.into())));
    let refused = server.open(&ana).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("left alone") && refused.contains(how) && !refused.contains("canary"), "{refused}");
    let mut other = server.open(&of("usr_bob", "canary-of-bob")).await?;
    assert_eq!(
        order(&mut other, "echo", "another's is another matter").await?.as_deref(),
        Ok("another's is another matter")
    );
    Ok(())
}

// spec: T-89, TR-161, UP-88
#[tokio::test]
async fn t89_nobody_finds_the_secret_of_a_neighbour() -> Result<()> {
    let stage = Stage::new().await?;
    let process = Process { key_variable: Some("SERVER_KEY".into()), ..stage.process().await };
    let server = stage.hostile(process);
    let mut ana = server.open(&of("usr_ana", "canary-of-ana")).await?;
    order(&mut ana, "write", "mine").await?.map_err(anyhow::Error::msg)?;
    fs::write(stage.folder.path().join("data/root.key"), "canary-of-ana")?;
    let mut bob = server.open(&of("usr_bob", "canary-of-bob")).await?;
    assert_eq!(order(&mut bob, "seek", "canary-of-ana").await?.as_deref(), Ok(""));
    assert_eq!(order(&mut ana, "read", "mine").await?.as_deref(), Ok("hostile"), "her own is there");
    assert_eq!(order(&mut bob, "list", ".").await?.as_deref(), Ok(""), "and not his");
    let keeper = std::process::id();
    for file in ["environ", "mem", "maps", "root/etc/passwd", "cwd/Cargo.toml", "fd/0"] {
        let read = order(&mut bob, "read", &format!("/proc/{keeper}/{file}")).await?;
        assert!(read.is_err(), "{file}: {read:?}");
    }
    // Nor is anybody's process within reach of a signal: this test would not live to see it.
    order(&mut bob, "run", &format!("/bin/kill -9 {keeper}")).await?.ok();
    order(&mut bob, "run", "/bin/kill -9 -1").await.ok();
    assert_eq!(order(&mut ana, "echo", "still here").await?.as_deref(), Ok("still here"));
    Ok(())
}

// spec: T-89
#[tokio::test]
async fn t89_no_path_leads_out() -> Result<()> {
    let stage = Stage::new().await?;
    let (given, secret) = (stage.folder.path().join("given"), stage.folder.path().join("secret"));
    fs::create_dir(&given)?;
    fs::write(&secret, "canary")?;
    fs::write(given.join("note"), "readable")?;
    std::os::unix::fs::symlink(&secret, given.join("link"))?;
    for path in [&secret, &given.join("note")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    }
    let mut line = stage.open(Process { read: vec![given.clone()], ..stage.process().await }).await?;
    let there = given.display();
    assert_eq!(order(&mut line, "read", &format!("{there}/note")).await?.as_deref(), Ok("readable"));
    assert!(order(&mut line, "write", &format!("{there}/note")).await?.is_err(), "only to read");
    order(&mut line, "link", &format!("{} escape", secret.display())).await?.map_err(anyhow::Error::msg)?;
    let secret_text = secret.display();
    for way in [
        secret_text.to_string(),
        format!("{there}/link"),
        format!("{there}/../secret"),
        "escape".to_owned(),
        format!("/proc/1/root{secret_text}"),
        format!("/proc/self/root{secret_text}"),
        format!("/proc/{}/root{secret_text}", std::process::id()),
        format!("/proc/self/cwd/../../../../../../../..{secret_text}"),
        "/etc/shadow".to_owned(),
    ] {
        // Where it has a directory of that name for itself, it may write there: that is its own file and nobody else's.
        for what in ["read", "write"] {
            let done = order(&mut line, what, &way).await?;
            assert!(
                done.as_deref().map_or(true, |text| text == "written" || text == "hostile"),
                "{what} {way}: {done:?}"
            );
        }
        assert_eq!(fs::read_to_string(&secret)?, "canary", "{way}");
    }
    assert_eq!(fs::read_to_string(given.join("note"))?, "readable");
    Ok(())
}

// spec: T-89
#[tokio::test]
async fn t89_no_network_leads_out() -> Result<()> {
    let stage = Stage::new().await?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let datagrams = UdpSocket::bind("127.0.0.1:0")?;
    let local = stage.folder.path().join("socket");
    let file = UnixListener::bind(&local)?;
    fs::set_permissions(&local, fs::Permissions::from_mode(0o777))?;
    let name = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&stage.mark)?)?;
    listener.set_nonblocking(true)?;
    datagrams.set_nonblocking(true)?;
    file.set_nonblocking(true)?;
    name.set_nonblocking(true)?;
    let mut line = stage.open(stage.process().await).await?;
    for (how, whom) in [
        ("tcp", listener.local_addr()?.to_string()),
        ("tcp", "169.254.169.254:80".to_owned()),
        ("tcp", "[::1]:1".to_owned()),
        ("udp", datagrams.local_addr()?.to_string()),
        ("abstract", stage.mark.clone()),
        ("unix", local.display().to_string()),
    ] {
        let done = order(&mut line, how, &whom).await?;
        assert!(done.is_err(), "{how} {whom}: {done:?}");
    }
    assert!(listener.accept().is_err() && datagrams.recv(&mut [0; 8]).is_err() && file.accept().is_err());
    assert!(name.accept().is_err());
    // What is allowed by the settings works, so the refusals above are not those of a broken program.
    let mut open = stage.open(Process { network: Network::All, ..stage.process().await }).await?;
    assert_eq!(order(&mut open, "tcp", &listener.local_addr()?.to_string()).await?.as_deref(), Ok("connected"));
    assert!(order(&mut open, "abstract", &stage.mark).await?.is_err());
    Ok(())
}

/// Says hello to whoever says it, answers plain requests with what was asked, and gives each connection that says nothing to
/// the test.
struct Greeter {
    port: u16,
    silent: mpsc::Receiver<TcpStream>,
}

impl Greeter {
    fn new() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (give, silent) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let give = give.clone();
                thread::spawn(move || Self::serve(stream, &give));
            }
        });
        Ok(Self { port, silent })
    }

    fn serve(stream: TcpStream, silent: &mpsc::Sender<TcpStream>) -> Option<()> {
        let _ = silent.send(stream.try_clone().ok()?);
        let mut stream = BufReader::new(stream);
        let mut said = String::new();
        stream.read_line(&mut said).ok()?;
        if said.starts_with("GET ") {
            while !said.ends_with("\r\n\r\n") {
                stream.read_line(&mut said).ok().filter(|length| *length > 0)?;
            }
            let length = said.len();
            said = format!("HTTP/1.1 200 OK\r\nproxy-authenticate: Basic\r\ncontent-length: {length}\r\n\r\n{said}");
        } else {
            said = "welcome\n".into();
        }
        stream.get_mut().write_all(said.as_bytes()).ok()
    }

    fn at(&self, host: &str) -> String {
        format!("{host}:{}", self.port)
    }
}

/// A process with this list of hosts.
fn reaching(hosts: Value, process: Process) -> Process {
    let entry = json!({ "name": "x", "command": ["x"], "network": hosts });
    let entry = Entry::from_json(&entry.to_string()).expect("an entry");
    let network = entry.server(&Environment::default()).unwrap_or_else(|why| panic!("{why}")).process.network;
    Process { network, ..process }
}

/// Every name in `inside.example` is this machine, every other one the place where clouds keep their secrets.
struct Names(AtomicUsize);

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let ip = if host.ends_with("inside.example") { [127, 0, 0, 1] } else { [169, 254, 169, 254] };
        Box::pin(async move { Ok(vec![(ip, port).into()]) })
    }
}

/// Whether this machine can hold a process to a list; if not, it is seen that nothing is started.
async fn lists_are_held(stage: &Stage) -> Result<bool> {
    let process = reaching(json!(["api.example.com"]), stage.process().await);
    match stage.host.standing(&process).await {
        Ok(_) => Ok(true),
        Err(why) => {
            ensure!(why.contains("cannot hold it to a list of hosts"), "{why}");
            let refused = stage.open(process).await.err().map(|error| error.to_string());
            ensure!(refused.as_deref().is_some_and(|error| error.contains(&why)), "{refused:?}");
            Ok(false)
        }
    }
}

// spec: T-89
#[tokio::test]
async fn t89_who_has_a_list_of_hosts_reaches_those_and_nothing_else() -> Result<()> {
    let stage = Stage::new().await?;
    if !lists_are_held(&stage).await? {
        return Ok(());
    }
    let (listed, other) = (Greeter::new()?, Greeter::new()?);
    let datagrams = UdpSocket::bind("127.0.0.1:0")?;
    datagrams.set_nonblocking(true)?;
    let mut line = stage.open(reaching(json!([listed.at("127.0.0.1")]), stage.process().await)).await?;
    assert_eq!(order(&mut line, "greet", &listed.at("127.0.0.1")).await?.as_deref(), Ok("welcome"));
    // A plain request is for the host that was checked, whatever it says itself, and has nothing of this connection.
    let url = format!("http://{}/x?y", listed.at("127.0.0.1"));
    let seen = order(&mut line, "greet", &url).await?.map_err(anyhow::Error::msg)?.to_ascii_lowercase();
    assert!(seen.starts_with("get /x?y http/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("host: {}\r\n", listed.at("127.0.0.1"))), "{seen}");
    assert!(!seen.contains("inside.example") && !seen.contains("canary") && !seen.contains("connection"), "{seen}");

    for whom in [
        other.at("127.0.0.1"),
        listed.at("localhost"),
        listed.at("[::1]"),
        listed.at("[::ffff:127.0.0.1]"),
        "169.254.169.254:80".to_owned(),
        "example.com:443".to_owned(),
    ] {
        for whom in [whom.clone(), format!("http://{whom}/")] {
            let said = order(&mut line, "greet", &whom).await?.expect_err(&whom);
            assert!(said.contains("403") && said.contains("network: [..., \""), "{whom}: {said}");
        }
    }
    for odd in ["127.0.0.1", &format!("x@{}", listed.at("127.0.0.1")), "/"] {
        let said = order(&mut line, "greet", odd).await?.expect_err(odd);
        assert!(said.contains(" 400 "), "{odd}: {said}");
    }
    for (how, whom) in [
        ("tcp", listed.at("127.0.0.1")),
        ("tcp", other.at("127.0.0.1")),
        ("tcp", "169.254.169.254:80".to_owned()),
        ("udp", "169.254.169.254:53".to_owned()),
        ("resolve", "example.com:443".to_owned()),
    ] {
        let done = order(&mut line, how, &whom).await?;
        assert!(done.is_err(), "{how} {whom}: {done:?}");
    }
    // Its own loopback is not that of this machine.
    order(&mut line, "udp", &datagrams.local_addr()?.to_string()).await?.ok();
    assert!(datagrams.recv(&mut [0; 8]).is_err());

    // Another's list is another's.
    let mut neighbour = stage.open(reaching(json!([other.at("127.0.0.1")]), stage.process().await)).await?;
    assert_eq!(order(&mut neighbour, "greet", &other.at("127.0.0.1")).await?.as_deref(), Ok("welcome"));
    assert!(order(&mut neighbour, "greet", &listed.at("127.0.0.1")).await?.is_err());
    assert_eq!(order(&mut line, "greet", &listed.at("127.0.0.1")).await?.as_deref(), Ok("welcome"));

    // Its tunnels end with it.
    while listed.silent.try_recv().is_ok() {}
    assert_eq!(order(&mut line, "hold", &listed.at("127.0.0.1")).await?.as_deref(), Ok("held"));
    let mut held = listed.silent.recv_timeout(PATIENCE)?;
    drop(line);
    let ended = tokio::task::spawn_blocking(move || {
        held.set_read_timeout(Some(PATIENCE))?;
        held.read(&mut [0; 8])
    });
    assert_eq!(ended.await??, 0);
    drop(neighbour);
    stage.empty().await
}

// spec: T-89, T-23
#[tokio::test]
async fn t89_listed_name_is_private_only_if_that_was_said() -> Result<()> {
    let stage = Stage::new().await?;
    if !lists_are_held(&stage).await? {
        return Ok(());
    }
    let names = Arc::new(Names(AtomicUsize::new(0)));
    let stage = Stage { dialer: stage.dialer.clone().with_resolver(names.clone()), ..stage };
    let inside = Greeter::new()?;
    let asked = || names.0.swap(0, Ordering::Relaxed);
    let at = |name: &str| inside.at(name);

    let open = json!([at("*.inside.example"), at("metadata.example")]);
    let mut line = stage.open(reaching(open, stage.process().await)).await?;
    let said = order(&mut line, "greet", &at("a.inside.example")).await?.expect_err("private");
    assert!(said.contains("403") && said.contains("private: true"), "{said}");
    assert_eq!(asked(), 1);
    for name in ["inside.example", "other.example", "localhost"] {
        assert!(order(&mut line, "greet", &at(name)).await?.is_err(), "{name}");
        assert_eq!(asked(), 0, "{name}: who is on no list is not even resolved");
    }

    let private = |name: &str| json!({ "host": at(name), "private": true });
    let closed = json!([private("*.inside.example"), private("metadata.example")]);
    let mut line = stage.open(reaching(closed, stage.process().await)).await?;
    assert_eq!(order(&mut line, "greet", &at("a.B.inside.example")).await?.as_deref(), Ok("welcome"));
    let said = order(&mut line, "greet", &at("metadata.example")).await?.expect_err("the place of secrets");
    assert!(said.contains("403") && !said.contains("private"), "{said}");
    Ok(())
}

// spec: TR-158
#[tokio::test]
async fn t89_nothing_is_left_after_two_hundred_rounds() -> Result<()> {
    let stage = Stage::new().await?;
    let server = stage.hostile(stage.process().await);
    for round in 0..200 {
        let mut line = server.open(&Whose::default()).await?;
        assert_eq!(order(&mut line, "echo", "here").await?.as_deref(), Ok("here"));
        if round % 4 == 0 {
            order(&mut line, "leave", &format!("setsid -f sleep {}", stage.mark)).await?.map_err(anyhow::Error::msg)?;
        }
    }
    stage.empty().await
}

/// What is wrong with an entry of these keys.
fn refused(entry: Value) -> String {
    let entry = Entry::from_json(&entry.to_string()).expect("an entry");
    entry.server(&Environment::default()).map_or_else(|problems| problems.to_string(), |_| "nothing".to_owned())
}

// spec: T-88
#[test]
fn t88_variables_that_run_code_and_lines_of_shell_are_refused() {
    let with = |name: &str| refused(json!({ "name": "x", "command": ["python3", "/srv/x.py"], "env": { name: "1" } }));
    for name in [
        "LD_PRELOAD",
        "NODE_OPTIONS",
        "BASH_ENV",
        "PATH",
        "PYTHONPATH",
        "ld_audit",
        "HOME",
        "A=B",
        "1",
        "_JAVA_OPTIONS",
        "npm_config_node_options",
    ] {
        assert!(with(name).contains("env."), "{name}: {}", with(name));
    }
    assert_eq!(with("LOG_LEVEL"), "nothing");
    for command in [
        json!(["sh", "-c", "id"]),
        json!(["npx", "-c", "id", "x@1.2.3"]),
        json!(["uvx", "--index-url", "http://x", "x==1"]),
    ] {
        assert_ne!(refused(json!({ "name": "x", "command": command })), "nothing", "{command}");
    }
    let plain = refused(json!({ "name": "x", "command": ["x"], "env": { "API_KEY": "canary" } }));
    assert!(plain.contains("a secret must not stand in the file itself") && !plain.contains("canary"), "{plain}");
}

// spec: T-90
#[test]
fn t90_packages_are_run_in_an_exact_version_or_not_at_all() {
    let with = |command: Value| refused(json!({ "name": "x", "command": command }));
    for command in [
        json!(["npx", "-y", "@scope/server"]),
        json!(["npx", "-y", "@scope/server@latest"]),
        json!(["npx", "-y", "@scope/server@^1.2.3"]),
        json!(["npx", "-y", "owner/repository"]),
        json!(["uvx", "server"]),
        json!(["uvx", "--from", "git+https://example.com/a/b@main", "server"]),
        json!(["bunx", "server"]),
        json!(["pipx", "run", "server"]),
    ] {
        let said = with(command.clone());
        assert!(said.contains("whatever"), "{command}: {said}");
    }
    assert_eq!(with(json!(["npx", "-y", "@scope/server@1.2.3"])), "nothing");
    assert_eq!(with(json!(["uvx", "server==1.2.3"])), "nothing");
}

const KEEPER: &str = "PORTCULLIS_TEST_KEEPER";

/// Runs itself once more, as a gateway that is killed while its servers run.
// spec: TR-158
#[tokio::test]
async fn t89_nothing_is_left_when_the_gateway_is_killed() -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the keeper is told so")]
    let told = std::env::var(KEEPER).ok();
    if let Some(told) = told {
        return keep_until_killed(Path::new(&told)).await;
    }
    let stage = Stage::new().await?;
    let note = stage.folder.path().join("note");
    let mut keeper = Command::new(std::env::current_exe()?)
        .args(["--exact", "processes::t89_nothing_is_left_when_the_gateway_is_killed"])
        .env(KEEPER, &note)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let began = Instant::now();
    let mark = loop {
        match fs::read_to_string(&note) {
            Ok(mark) if mark.ends_with('\n') => break mark.trim().to_owned(),
            _ => ensure!(began.elapsed() < PATIENCE, "the keeper does not begin"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let stage = Stage { mark, ..stage };
    assert!(stage.left().len() >= 6, "{:?}", stage.left());
    keeper.kill()?;
    keeper.wait()?;
    stage.empty().await
}

async fn keep_until_killed(note: &Path) -> Result<()> {
    let stage = Stage::new().await?;
    let server = stage.hostile(stage.process().await);
    let mut lines = Vec::new();
    for _ in 0..3 {
        let mut line = server.open(&Whose::default()).await?;
        order(&mut line, "linger", "").await?.map_err(anyhow::Error::msg)?;
        order(&mut line, "leave", &format!("setsid -f sleep {}", stage.mark)).await?.map_err(anyhow::Error::msg)?;
        lines.push(line);
    }
    while stage.left().len() < 6 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fs::write(note, format!("{}\n", stage.mark))?;
    std::future::pending().await
}
