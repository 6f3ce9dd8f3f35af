//! `portcullis bridge`: MCP on standard input and output for clients that speak nothing else, and the gateway, or any other
//! server, at the other end.
//!
//! Promises: nothing but messages goes to standard output; a token goes to the server it was given for and nowhere else;
//! nothing that a server says is run, opened or shown as anything but an http or https page; and when the client goes, the
//! process goes.

mod answers;
mod asked;
mod browser;
mod callback;
mod client;
mod discovery;
mod door;
mod kept;
mod keyring;
mod legacy;
mod lines;
mod link;
mod modern;
mod road;
mod session;
mod sign_in;
mod stream;
mod talk;
mod tools;

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use portcullis_base::Secret;
use portcullis_gateway::{
    outbound::Dialer,
    system::{SystemClock, SystemRng},
    upstream::UpstreamUrl,
};

use self::{
    client::Named,
    discovery::outbound,
    door::{Asking, Door, Renewing},
    kept::{For, Kept},
    keyring::Keyring,
    link::Link,
    road::Road,
    sign_in::{SignIn, Window},
    talk::Talk,
};
use crate::{
    args::Bridge,
    failure::{Failure, Result},
    output::{GOOD, line, note, styled},
    settings,
    stop::Stop,
};

/// How long one document or token may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long requests in flight may take once the client has nothing more to say.
const LAST: Duration = Duration::from_secs(10);
/// How long they may take once somebody wants the process to end.
const HURRY: Duration = Duration::from_millis(500);
/// How long the last lines may take to be written.
const WRITTEN: Duration = Duration::from_secs(2);
/// The variable that holds an access key.
const KEY: &str = "PORTCULLIS_ACCESS_KEY";
/// The longest key that is read.
const LONGEST_KEY: u64 = 16 * 1024;
/// A message without effect, to see whether the server lets us in.
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// Runs the command.
pub async fn run(args: &Bridge) -> Result<()> {
    let environment = settings::environment();
    let url = UpstreamUrl::parse(&args.url).map_err(|error| Failure::usage(error.to_string()))?;
    if url.as_str().starts_with("http:") && !url.is_loopback() {
        return Err(Failure::usage(format!("{url} would be asked in the open"))
            .help("http:// is for this computer only; use the https:// address"));
    }
    let dialer = Dialer::new(args.ca_file.as_deref()).map_err(|error| Failure::usage(error.to_string()))?;
    let link = Link::new(&url, dialer.clone())?;
    let key = key(args.key_file.as_deref(), &environment)?;
    let sign_in = |window| sign_in(args, link.url(), &dialer, &environment, window);
    if args.sign_out {
        return sign_out(&sign_in(Window::Print)?).await;
    }
    let door = match key {
        Some(key) => Door::Key(key),
        None => Door::SignIn(Renewing::new(sign_in(if args.no_browser { Window::Print } else { Window::Open })?)),
    };
    let road = Road { link, door };
    if args.sign_in {
        let ping = Bytes::from_static(PING.as_bytes());
        let answer = road.send(Method::POST, session::plain(), ping, Asking::Person).await?;
        // Servers with sessions have none for it, and say so with 400.
        if !answer.status.is_success() && answer.status != StatusCode::BAD_REQUEST {
            return Err(road.turned_away(&answer));
        }
        line(format_args!("{} {url} lets you in", styled(GOOD, "✓")));
        return Ok(());
    }
    bridge(road).await
}

async fn bridge(road: Road) -> Result<()> {
    let mut stop = Stop::listen()?;
    if std::io::stdin().is_terminal() {
        note(
            "portcullis bridge speaks MCP on standard input and output: a client starts it, see portcullis bridge --help",
        );
    }
    let mut input = lines::input()?;
    let (out, written) = lines::output()?;
    let talk = Talk::new(road, out.clone());
    let hurry = loop {
        tokio::select! {
            line = input.recv() => match line {
                // Taking it can mean to wait for a client that reads nothing.
                Some(line) => tokio::select! {
                    () = talk.take(line) => {}
                    () = stop.asked() => break true,
                    () = out.closed() => break true,
                },
                None => break false,
            },
            () = stop.asked() => break true,
            () = out.closed() => break true,
        }
    };
    drop(input);
    tokio::select! {
        () = talk.idle() => {}
        () = tokio::time::sleep(if hurry { HURRY } else { LAST }) => {}
        () = stop.asked() => {}
        () = out.closed() => {}
    }
    tokio::select! {
        () = talk.finish() => {}
        () = stop.asked() => {}
    }
    drop((talk, out));
    written.wait(WRITTEN).await;
    Ok(())
}

fn sign_in(
    args: &Bridge,
    url: &str,
    dialer: &Dialer,
    environment: &BTreeMap<String, String>,
    window: Window,
) -> Result<SignIn> {
    let keyring = if args.no_keyring { None } else { Keyring::find(environment) };
    Ok(SignIn {
        url: url.to_owned(),
        issuer: args.issuer.clone(),
        named: args.client_id.as_deref().map(Named::parse),
        window,
        kept: Kept::open(url, &state(environment)?, keyring)?,
        dialer: dialer.clone(),
        environment: environment.clone(),
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng::new()),
    })
}

async fn sign_out(sign_in: &SignIn) -> Result<()> {
    let lock = sign_in.kept.lock(For::Renewing).await?;
    // A file that is not used any more can be removed all the same.
    let held = sign_in.kept.read().await.ok().flatten();
    sign_in.kept.forget(&lock).await?;
    let Some(held) = held else {
        line(format_args!("Nobody was signed in at {}.", sign_in.url));
        return Ok(());
    };
    line(format_args!("{} signed out of {}", styled(GOOD, "✓"), sign_in.url));
    let place = held.revocation_endpoint.as_deref().unwrap_or_default();
    let outbound = outbound(&sign_in.dialer, &sign_in.url, Some(&held.issuer), place);
    if let Err(why) = client::revoke(&outbound, &held).await {
        note(format_args!("portcullis bridge: {} was not told, so its tokens end by themselves: {why}", held.issuer));
    }
    Ok(())
}

/// An access key, from the variable or the file; never from the command line, which every process can read.
fn key(file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Option<Secret>> {
    let (text, from) = match (file, environment.get(KEY)) {
        (Some(path), _) => (Secret::new(read_key(path)?), path.display().to_string()),
        (None, Some(key)) => (Secret::new(key.clone()), KEY.to_owned()),
        (None, None) => return Ok(None),
    };
    let key = text.reveal().trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            Failure::usage(format!("{from} holds no access key")).help("one line, as `portcullis key add` prints it")
        );
    }
    Ok(Some(Secret::new(key.to_owned())))
}

fn read_key(path: &Path) -> Result<String> {
    let bad = |why: String| Failure::usage(format!("the access key in {} cannot be used: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| bad(error.to_string()))?;
    let about = file.metadata().map_err(|error| bad(error.to_string()))?;
    if !about.is_file() {
        return Err(bad("it is not a file".into()));
    }
    if about.mode() & 0o007 != 0 {
        let help = format!("chmod 600 {}", crate::invocation::shell(path));
        return Err(bad(format!("everybody can read it (mode {:o})", about.mode() & 0o777)).help(help));
    }
    let mut text = String::new();
    file.take(LONGEST_KEY).read_to_string(&mut text).map_err(|error| bad(error.to_string()))?;
    Ok(text)
}

/// Where programs of this person keep what they need to know again.
fn state(environment: &BTreeMap<String, String>) -> Result<PathBuf> {
    let named = environment.get("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = environment.get("HOME").filter(|home| !home.is_empty());
    named.or_else(|| home.map(|home| PathBuf::from(home).join(".local/state"))).ok_or_else(|| {
        Failure::usage("the environment variable HOME is not set, so there is no place to keep a sign-in")
            .help("set HOME or XDG_STATE_HOME, or use an access key")
    })
}
