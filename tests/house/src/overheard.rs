//! A story with somebody listening to whatever the program says of itself, down to the last detail.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use tracing_subscriber::fmt::MakeWriter;

/// What was said.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// All of it so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Runs a story on threads that write everything they do into its log.
pub fn overheard(story: impl AsyncFnOnce(Log) -> Result<()>) -> Result<()> {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let dispatch = tracing::Dispatch::new(subscriber);
    // While a program has one subscriber only, the thread that meets a line of code first decides for all whether it is
    // heard; with two, each thread does.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let threads = dispatch.clone();
    // Every thread of this runtime writes here; those of other tests do not.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&threads)))
        .build()?;
    let _here = tracing::dispatcher::set_default(&dispatch);
    runtime.block_on(story(log))
}

/// Whether `needle` is anywhere in it.
pub fn holds(haystack: &[u8], needle: &str) -> bool {
    memchr::memmem::find(haystack, needle.as_bytes()).is_some()
}
