//! One running process: carries messages both ways, and sees to its end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_base::ServerName;
use portcullis_sandbox::Code;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    process::{self, ChildStderr, ChildStdin, ChildStdout},
    sync::OwnedSemaphorePermit,
    task::JoinSet,
    time::timeout,
};

use super::{
    GRACE,
    complaints::{self, LastWords},
    framing::{self, Flood, Framing, Piece},
    redact::Redact,
    rest::Rests,
    way_out::WayOut,
};
use crate::upstream::line::{Ear, Ended, Far, Mouth};

/// What the launcher may take beyond what it gives the process: it sees to everything that is left.
const LAUNCHER: Duration = Duration::from_secs(10);
/// Lines that were no messages and are logged, of each process.
const TOLD: u64 = 5;
/// Room for one read.
const READ: usize = 64 << 10;

pub(super) struct Child {
    pub(super) name: ServerName,
    pub(super) key: String,
    pub(super) process: process::Child,
    pub(super) streams: (ChildStdin, ChildStdout, ChildStderr),
    /// What stands between it and the hosts that it may reach, and where it comes to that.
    pub(super) way_out: Option<(Arc<WayOut>, TcpListener)>,
    pub(super) far: Far,
    pub(super) redact: Redact,
    pub(super) rests: Arc<Rests>,
    pub(super) began: Instant,
    /// Free again when nothing of the process is left.
    pub(super) place: OwnedSemaphorePermit,
}

/// Why it is time to end it.
enum Over {
    /// Nobody wants it any more.
    LetGo,
    /// It ended, or closed its output.
    Gone,
    Flood(Flood),
}

impl Child {
    pub(super) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Carries messages until either side has had enough, then ends the process with all that it started.
    pub(super) async fn keep(self) {
        let Self { name, key, mut process, streams, way_out, far, redact, rests, began, place } = self;
        let (input, mut output, errors) = streams;
        let (ear, mouth) = far.split();
        let last = LastWords::default();
        let complaints = tokio::spawn(complaints::read(errors, name.clone(), redact.clone(), last.clone()));
        // Ended with everything that goes by it when this is dropped.
        let mut ways_out = JoinSet::new();
        let way_out = way_out.map(|(way_out, listener)| {
            ways_out.spawn(way_out.clone().keep(listener));
            way_out
        });
        let mut framing = Framing::new(Instant::now());
        let over = {
            // Its input ends when this does: whichever comes first, that is what tells the launcher to end it.
            let (fed, heard) = (feed(ear, input), hear(&mut output, &mouth, &mut framing, &name, &redact));
            tokio::select! {
                over = heard => over,
                over = fed => over,
                () = mouth.let_go() => Over::LetGo,
            }
        };
        // What it says now is for nobody, but it must not be held up by it.
        let rest = async {
            let mut sink = vec![0; READ];
            while let Ok(1..) = output.read(&mut sink).await {}
            process.wait().await
        };
        let status = if let Ok(status) = timeout(2 * GRACE + LAUNCHER, rest).await {
            status.ok()
        } else {
            // With the launcher goes everything that it minds.
            let _ = process.start_kill();
            process.wait().await.ok()
        };
        drop(ways_out);
        let refused = way_out.map(|way_out| way_out.refused());
        let _ = timeout(GRACE, complaints).await;
        drop(place);
        let code = status.and_then(|status| status.code());
        let how = match over {
            Over::LetGo => None,
            Over::Gone => Some(told(code, &last.get())),
            Over::Flood(Flood(what)) => Some(format!("{what}, so it was ended")),
        };
        let killed = code == Some(Code::Killed as i32);
        rests.ended(&key, began.elapsed(), Instant::now(), how.as_deref());
        match &how {
            Some(how) => {
                tracing::warn!(server.name = %name, lines.skipped = framing.skipped, network.refused = refused, error.detail = how, "a server ended");
                mouth.because(Ended::Broke(how.as_str().into()));
            }
            None => {
                tracing::info!(server.name = %name, lines.skipped = framing.skipped, network.refused = refused, killed, "a server was stopped");
            }
        }
    }
}

/// Gives it what is for it.
async fn feed(mut ear: Ear, mut input: ChildStdin) -> Over {
    while let Some(message) = ear.hear().await {
        let line = framing::line(&message);
        if input.write_all(&line).await.is_err() || input.flush().await.is_err() {
            return Over::Gone;
        }
    }
    Over::LetGo
}

/// Passes on what it says.
async fn hear(
    output: &mut ChildStdout,
    mouth: &Mouth,
    framing: &mut Framing,
    name: &ServerName,
    redact: &Redact,
) -> Over {
    loop {
        framing.room().reserve(READ);
        match output.read_buf(framing.room()).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Over::Gone,
        }
        loop {
            match framing.next(Instant::now()) {
                Ok(None) => break,
                Ok(Some(Piece::Message(message))) => {
                    if mouth.say(message).await.is_err() {
                        return Over::LetGo;
                    }
                }
                Ok(Some(Piece::Stray(line))) => {
                    if framing.skipped <= TOLD {
                        let line = redact.cleaned(&String::from_utf8_lossy(&line), 200);
                        tracing::info!(server.name = %name, server.said = line, "a server writes what is no message");
                    }
                }
                Err(flood) => return Over::Flood(flood),
            }
        }
    }
}

/// How it ended, as a sentence.
fn told(code: Option<i32>, last: &str) -> String {
    let how = match code {
        None => "its launcher was killed".to_owned(),
        Some(code) => match Code::of(code) {
            Some(Code::NotStarted) => "it could not be started".to_owned(),
            Some(Code::Memory) => "it took more memory than it may (limits.memory)".to_owned(),
            Some(Code::Processes) => "it started more processes than it may (limits.processes)".to_owned(),
            Some(Code::Killed) => "it closed its output, did not end, and was killed".to_owned(),
            None if code == 0 => "it ended by itself".to_owned(),
            None if code > 128 => format!("it was killed by signal {}", code - 128),
            None => format!("it ended with status {code}"),
        },
    };
    if last.is_empty() { how } else { format!("{how}; the last it said: {last}") }
}
