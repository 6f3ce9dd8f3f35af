//! A real browser on the real pages, with the worst names that anybody could give themselves.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use portcullis_house::person::Browser;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    html,
    pages::{Hostile, POLYGLOTS},
};

const CHROMIUM: &str = "/usr/bin/chromium";

/// Whether there is a browser here. Where everything must be tried, its absence is a failure.
fn is_there() -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "whether this run may go without a browser is said by its surroundings"
    )]
    let must = std::env::var("CI").is_ok_and(|value| value == "true");
    let there = Path::new(CHROMIUM).exists();
    assert!(there || !must, "{CHROMIUM} is missing");
    there
}

/// Whether pages keep the policy they came with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Policy {
    Kept,
    TakenAway,
}

/// The gateway as one signed-in browser sees it, and `/raw` besides: a page on which nothing is escaped.
async fn as_seen_by(browser: Browser, policy: Policy) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let browser = Arc::new(browser);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(pass_on(browser.clone(), policy, stream));
        }
    });
    Ok(address)
}

async fn pass_on(browser: Arc<Browser>, policy: Policy, mut stream: TcpStream) -> Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut head).await? > 0, "closed");
    }
    let target = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or("/").to_owned();
    let (headers, body) = if target == "/raw" {
        let body = format!("<!doctype html><html><body><p>{}</p></body></html>", POLYGLOTS[0]);
        // With the headers of a real page.
        (browser.request("GET", "/").send().await?.headers, body.into_bytes())
    } else {
        let answer = browser.request("GET", &target).header("sec-fetch-site", "none").send().await?;
        (answer.headers, answer.body)
    };
    let mut text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    for (name, value) in headers {
        let framing = ["content-length", "transfer-encoding", "connection"].contains(&name.as_str());
        let taken = policy == Policy::TakenAway && name == "content-security-policy";
        if !framing && !taken {
            text.extend([&name, ": ", &value, "\r\n"]);
        }
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await?;
    Ok(())
}

/// The document after its scripts have run for `millis` of the browser's own time. A browser that does not come up on a busy
/// machine is started again.
async fn document_of(url: String, millis: u32) -> Result<String> {
    for _ in 0..2 {
        if let Ok(document) = looked_at(url.clone(), millis).await {
            return Ok(document);
        }
    }
    looked_at(url, millis).await
}

async fn looked_at(url: String, millis: u32) -> Result<String> {
    let profile = tempfile::tempdir()?;
    let output = tokio::task::spawn_blocking(move || {
        Command::new(CHROMIUM)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--virtual-time-budget={millis}"))
            .args(["--timeout=20000", "--dump-dom", &url])
            .stderr(Stdio::null())
            .output()
    })
    .await??;
    let document = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(document.contains("</html>"), "no document");
    Ok(document)
}

fn ran(document: &str) -> bool {
    html::elements(document).first().is_some_and(|root| root.attribute("data-ran").is_some())
}

// spec: T-93
#[tokio::test(flavor = "multi_thread")]
async fn t93_no_script_of_anybody_elses_runs_in_a_real_browser() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    for (text, tried) in
        [(POLYGLOTS[0], &["home", "consent", "unknown client"][..]), (POLYGLOTS[2], &["home", "consent"])]
    {
        let Hostile { house, admin, pages } = Hostile::with(text).await?;
        // Escaping alone must hold, so the policy that would stop the rest is taken away.
        let address = as_seen_by(admin, Policy::TakenAway).await?;
        assert!(ran(&document_of(format!("{address}/raw"), 1_000).await?), "the browser runs no script at all");
        for (what, path) in pages.iter().filter(|(what, _)| tried.contains(what)) {
            let document = document_of(format!("{address}{path}"), 1_000).await?;
            assert!(document.contains("Portcullis"), "{what}: not our page\n{document}");
            assert!(!ran(&document), "{what}: a script ran\n{document}");
            html::assert_harmless(&document, Some("https://app.example/cb"));
        }
        house.stop().await?;
    }
    // And the policy alone would hold too.
    let Hostile { house, admin, .. } = Hostile::with("plain").await?;
    let address = as_seen_by(admin, Policy::Kept).await?;
    assert!(!ran(&document_of(format!("{address}/raw"), 1_000).await?), "the policy lets a foreign script run");
    house.stop().await?;
    Ok(())
}

// spec: T-16
#[tokio::test(flavor = "multi_thread")]
async fn t16_allow_answers_only_after_the_page_was_in_sight_for_a_while() -> Result<()> {
    if !is_there() {
        return Ok(());
    }
    let Hostile { house, admin, pages } = Hostile::with("plain").await?;
    let consent = &pages.iter().find(|(what, _)| *what == "consent").context("consent")?.1;
    let address = as_seen_by(admin, Policy::Kept).await?;
    let locked = async |millis: u32| -> Result<bool> {
        let document = document_of(format!("{address}{consent}"), millis).await?;
        let button = html::elements(&document).into_iter().find(|e| e.attribute("value") == Some("approve"));
        Ok(button.context("no button")?.attribute("disabled").is_some())
    };
    assert!(locked(200).await?, "the button could be hit by the second half of a double click");
    // On a busy machine the browser's own time may be over before the page is there.
    let mut answers = false;
    for millis in [5_000, 20_000, 60_000] {
        answers = answers || !locked(millis).await?;
    }
    assert!(answers, "the button stays locked");
    house.stop().await
}
