//! What a process writes on its standard error: for the log, without its secrets, and only so much of it. spec: TR-152

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use portcullis_base::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::sleep_until,
};

use super::redact::Redact;

/// Characters of a line that are kept.
const LONGEST: usize = 500;
/// Bytes of a line that are looked at.
const LOOKED_AT: usize = 16 << 10;
/// Lines that are logged at once, and in each second after that.
const AT_ONCE: u32 = 50;
const A_SECOND: u32 = 5;
/// Bytes that are read in a second: whoever writes more has to wait.
const BYTES_A_SECOND: usize = 8 << 20;

/// The last thing that was said there.
#[derive(Clone, Default)]
pub(super) struct LastWords(Arc<Mutex<String>>);

impl LastWords {
    pub(super) fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, words: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }
}

/// Reads to the end and logs what fits.
pub(super) async fn read(mut from: impl AsyncRead + Unpin, name: ServerName, redact: Redact, last: LastWords) {
    let mut log = Log::new(name, redact, last);
    let (mut pending, mut chunk) = (Vec::with_capacity(1024), vec![0; 16 << 10]);
    let (mut second, mut bytes) = (tokio::time::Instant::now(), 0);
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        for byte in &chunk[..length] {
            if *byte == b'\n' {
                log.line(&pending);
                pending.clear();
            } else if pending.len() < LOOKED_AT {
                pending.push(*byte);
            }
        }
        bytes += length;
        if second.elapsed() >= Duration::from_secs(1) {
            (second, bytes) = (tokio::time::Instant::now(), 0);
        } else if bytes > BYTES_A_SECOND {
            sleep_until(second + Duration::from_secs(1)).await;
        }
    }
    log.line(&pending);
    log.finish();
}

struct Log {
    name: ServerName,
    redact: Redact,
    last: LastWords,
    left: u32,
    filled: Instant,
    unsaid: u64,
}

impl Log {
    fn new(name: ServerName, redact: Redact, last: LastWords) -> Self {
        Self { name, redact, last, left: AT_ONCE, filled: Instant::now(), unsaid: 0 }
    }

    fn line(&mut self, line: &[u8]) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let seconds = self.filled.elapsed().as_secs() as u32;
        if seconds > 0 {
            self.left = self.left.saturating_add(seconds.saturating_mul(A_SECOND)).min(AT_ONCE);
            self.filled = Instant::now();
        }
        // Cleaning costs more than reading; of a flood, only what is logged is worth it, and what may be the last of it.
        let text = self.redact.cleaned(&String::from_utf8_lossy(line), LONGEST);
        self.last.set(text.clone());
        if self.left == 0 {
            self.unsaid += 1;
            return;
        }
        self.left -= 1;
        self.finish();
        tracing::info!(server.name = %self.name, server.said = text, "a server says on its standard error");
    }

    fn finish(&mut self) {
        if self.unsaid > 0 {
            tracing::warn!(server.name = %self.name, lines = self.unsaid, "a server says more than is logged");
            self.unsaid = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_base::Secret;

    use super::*;

    // spec: TR-152
    #[tokio::test]
    async fn flood_is_read_to_its_end_and_the_last_words_are_kept() {
        let (last, name) = (LastWords::default(), ServerName::parse("loud").expect("name"));
        let redact = Redact::new(std::iter::once(Secret::new("sk-canary".into())));
        let mut flood = vec![b'x'; 100_000];
        flood.push(b'\n');
        flood.extend(std::iter::repeat_n(*b"noise\n", 20_000).flatten());
        flood.extend(b"cannot use sk-canary\n\n  \n");
        read(&flood[..], name, redact, last.clone()).await;
        assert_eq!(last.get(), "cannot use [secret]");
    }
}
