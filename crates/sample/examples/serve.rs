//! The sample server by itself, on the loopback address given as first argument (127.0.0.1:7900 by default).

use std::{env, fs::File, io::Read, sync::Arc, time::SystemTime};

use portcullis_base::{Clock, Rng, Timestamp};
use portcullis_sample::Sample;
use tokio::net::TcpListener;

struct System;

impl Clock for System {
    #[expect(clippy::disallowed_methods, reason = "this is the clock of a program")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(since.as_millis() as i64)
    }
}

impl Rng for System {
    fn fill(&self, out: &mut [u8]) {
        File::open("/dev/urandom").and_then(|mut file| file.read_exact(out)).expect("the system has random bytes");
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7900".to_owned());
    let listener = TcpListener::bind(address).await?;
    Sample::new(Arc::new(System), Arc::new(System)).serve(listener).await
}
