//! Two hundred deaths under load, some of them while it starts, many while segments are sealed: the segments are tiny, so
//! that one is full every few dozen calls. After each the journal holds, and what was answered stands in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
};

use portcullis_base::Rng;
use portcullis_gateway::{
    journal::{Lines, stored},
    system::SystemRng,
};

use super::*;

const ROUNDS: usize = 200;
/// Gateways side by side.
const HOUSES: usize = 4;
/// Clients of each.
const WORKERS: usize = 3;
const TINY: &str = "audit: { segment: { size: 16KiB } }\n";

/// What the trail of one gateway says, read on after each death.
#[derive(Default)]
struct Trail {
    seq: u64,
    /// Decisions and ends of each call.
    calls: BTreeMap<String, (u32, u32)>,
    unknown: usize,
}

impl Trail {
    /// Reads on; gives the texts of the decisions that it met.
    fn read(&mut self, house: &House) -> Result<String> {
        let mut lines = Lines::open(&house.folder.path().join("data/journal"), &house.node()?, self.seq, None)?;
        let mut decided = String::new();
        while let Some(line) = lines.next_line()? {
            ensure!(line.seq == self.seq + 1, "line {} follows {}", line.seq, self.seq);
            self.seq = line.seq;
            let text = String::from_utf8(line.bytes.to_vec())?;
            let line: Value = serde_json::from_str(&text)?;
            let Some(call) = line["call"].as_str() else { continue };
            let counts = self.calls.entry(call.to_owned()).or_default();
            match line["event"].as_str() {
                Some("call.decided") => {
                    counts.0 += 1;
                    decided.push_str(&text);
                }
                Some("call.ended") => {
                    counts.1 += 1;
                    self.unknown += usize::from(line["outcome"] == "unknown");
                }
                _ => {}
            }
        }
        ensure!(lines.skipped() == 0, "{} lines have no place", lines.skipped());
        Ok(decided)
    }

    /// Calls that were decided and have not ended.
    fn open(&self) -> BTreeSet<String> {
        self.calls.iter().filter(|(_, counts)| counts.1 == 0).map(|(call, _)| call.clone()).collect()
    }
}

impl House {
    fn node(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("data/node"))?.trim().to_owned())
    }

    fn verified(&self) -> Result<()> {
        let (code, text) = self.run(&["audit", "verify"])?;
        ensure!(code == 0, "{text}");
        Ok(())
    }
}

fn random(range: std::ops::Range<u64>) -> u64 {
    let mut bytes = [0; 8];
    SystemRng::new().fill(&mut bytes);
    range.start + u64::from_le_bytes(bytes) % (range.end - range.start)
}

/// Calls until nobody answers any more; gives what was answered.
fn load(house: &House, token: &str, round: usize) -> Vec<tokio::task::JoinHandle<Vec<String>>> {
    let call = |worker, n| {
        let text = format!("text-{round}-{worker}-{n}-end");
        let request = house.call(token, "echo", json!({ "message": text }));
        (text, request)
    };
    (0..WORKERS)
        .map(|worker| {
            let calls: Vec<_> = (0..400).map(|n| call(worker, n)).collect();
            tokio::spawn(async move {
                let mut answered = Vec::new();
                for (text, request) in calls {
                    match request.send().await {
                        Ok(answer) if answer.status == 200 && answer.text().contains(&text) => answered.push(text),
                        _ => break,
                    }
                }
                answered
            })
        })
        .collect()
}

async fn die_again_and_again(rounds: usize) -> Result<(usize, usize)> {
    let house = House::with("sqlite", TINY)?;
    let mut up = Some(house.up()?);
    let (_, tokens) = house.sign_in(up.as_ref().context("it runs")?).await?;
    let (mut trail, mut all) = (Trail::default(), 0);
    for round in 0..rounds {
        // One in five dies while it starts, and perhaps while it repairs what the death before has left.
        if round % 5 == 4 {
            let mut child = house.command(&["up"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            tokio::time::sleep(Duration::from_millis(random(0..500))).await;
            child.kill()?;
            child.wait()?;
            trail.read(&house)?;
            house.verified()?;
            continue;
        }
        let before = trail.open();
        let mut running = match up.take() {
            Some(running) => running,
            None => house.up()?,
        };
        let load = load(&house, &tokens.access, round);
        tokio::time::sleep(Duration::from_millis(random(20..400))).await;
        running.child.kill()?;
        running.child.wait()?;
        let answered = join_all(load).await.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        let decided = trail.read(&house)?;
        for text in &answered {
            ensure!(decided.contains(text.as_str()), "round {round}: {text} was answered and is not in the trail");
        }
        // Those that the death before had left open were ended when it started.
        let left: Vec<_> = trail.open().intersection(&before).cloned().collect();
        ensure!(left.is_empty(), "round {round}: {left:?} never ended");
        house.verified()?;
        all += answered.len();
    }
    let up = house.up()?;
    // What was left for later is written within a moment; then everything that was decided has ended, once.
    let enough = Instant::now() + Duration::from_secs(10);
    loop {
        trail.read(&house)?;
        if trail.open().is_empty() {
            break;
        }
        ensure!(Instant::now() < enough, "{:?} never ended", trail.open());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(up);
    let wrong: Vec<_> = trail.calls.iter().filter(|(_, counts)| **counts != (1, 1)).collect();
    ensure!(wrong.is_empty(), "{wrong:?}");
    ensure!(trail.unknown > 0, "no call was under way in {rounds} deaths");
    let all_segments = stored(&house.folder.path().join("data/journal").join(house.node()?))?;
    let sealed = all_segments.iter().filter(|stored| stored.is_sealed()).count();
    ensure!(sealed > rounds / 10, "only {sealed} of {} segments were sealed", all_segments.len());
    Ok((all, sealed))
}

// spec: T-98
#[test]
fn t98_two_hundred_kills_at_random_lose_nothing_that_was_answered() -> Result<()> {
    // Threads of their own: a start is waited for by blocking.
    let houses: Vec<_> = (0..HOUSES)
        .map(|_| {
            thread::spawn(|| {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
                runtime.block_on(die_again_and_again(ROUNDS / HOUSES))
            })
        })
        .collect();
    for house in houses {
        let (answered, sealed) = house.join().map_err(|_| anyhow::anyhow!("a house fell down"))??;
        println!("{answered} calls were answered, {sealed} segments sealed");
        ensure!(answered > ROUNDS / HOUSES, "only {answered} calls were answered");
    }
    Ok(())
}
