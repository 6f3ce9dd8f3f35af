//! Heads of the journal with witnesses that are not ours: a Git repository, a webhook, an authority for time stamps. Whoever
//! then cuts the journal off is found out by each of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    place::{Place, SECRET},
    receivers::Receiver,
    story::wait,
};

fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<bool> {
    let ended = Command::new(program).args(arguments).current_dir(folder).output()?;
    Ok(ended.status.success())
}

fn done(program: &str, arguments: &[&str], folder: &Path) -> Result<()> {
    let ended = Command::new(program).args(arguments).current_dir(folder).output()?;
    ensure!(ended.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(())
}

/// An authority, and whoever stamps in its name.
fn authority(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let settings = "[tsa]\nserial = serial\nsigner_cert = tsa.pem\nsigner_key = tsa.key\ncerts = ca.pem\nsigner_digest = sha256\n\
                    default_policy = 1.2.3.4.1\ndigests = sha256\n";
    fs::write(folder.join("tsa.cnf"), settings)?;
    fs::write(folder.join("serial"), "01\n")?;
    let key = ["-newkey", "rsa:2048", "-nodes", "-days", "2"];
    let ca = ["req", "-x509", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"];
    done("openssl", &[&ca[..], &key[..]].concat(), folder)?;
    let signer = [
        "req",
        "-x509",
        "-subj",
        "/CN=stamps",
        "-keyout",
        "tsa.key",
        "-out",
        "tsa.pem",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
    ];
    let purpose =
        ["-addext", "extendedKeyUsage=critical,timeStamping", "-addext", "basicConstraints=critical,CA:FALSE"];
    done("openssl", &[&signer[..], &purpose[..], &key[..]].concat(), folder)
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all: Vec<_> = all.filter(|path| path.extension().is_some_and(|end| end == ending)).collect();
    all.sort();
    all
}

// spec: T-98, RFC3161#2.4.1, RFC3161#2.4.2
#[tokio::test(flavor = "multi_thread")]
async fn t98_each_witness_finds_that_the_end_of_a_journal_was_cut_off() -> Result<()> {
    let place = Place::new()?;
    let tsa = place.path().join("tsa");
    authority(&tsa)?;
    let Some(stamps) = Receiver::stamps(&tsa, &[])? else { return Ok(()) };
    let Some(hook) = Receiver::python("webhook", place.path(), &["--secret", SECRET])? else { return Ok(()) };
    done("git", &["init", "--quiet", "--bare", "remote"], place.path())?;
    done("git", &["clone", "--quiet", "remote", "clone"], place.path())?;
    let clone = place.path().join("clone");
    done("git", &["config", "push.autoSetupRemote", "true"], &clone)?;
    let witness = json!([
        { "git": clone, "every": "1s" },
        { "webhook": format!("http://{}/heads", hook.host()), "secret": "env:SINK_SECRET", "every": "1s" },
        { "timestamp": format!("http://{}/", stamps.host()), "every": "1s" },
    ]);
    place.audited(&json!({ "witness": witness }), &[hook.host(), stamps.host()])?;
    let up = place.up()?;
    let tokens = place.sign_in(&up).await?;
    place.calls(&tokens.access, 5, "x").await?;
    let node = fs::read_to_string(place.path().join("data/node"))?.trim().to_owned();
    let folder = place.path().join("data/timestamps").join(&node);
    wait("each has noted a head", || {
        Ok(!hook.received()?.is_empty()
            && !files(&folder, "tsr").is_empty()
            && clone.join(format!("{node}.jsonl")).exists())
    })?;
    place.calls(&tokens.access, 5, "x").await?;
    up.stop()?;

    // What the webhook keeps is one statement a line.
    let heads = place.path().join("heads.jsonl");
    let told: String = hook.received()?.iter().map(|head| format!("{head}\n")).collect::<Vec<_>>().concat();
    fs::write(&heads, told)?;
    // What was pushed is what the remote gives to anybody.
    done("git", &["clone", "--quiet", "remote", "other"], place.path())?;
    let pushed = place.path().join("other").join(format!("{node}.jsonl"));
    for stamp in files(&folder, "tsr") {
        let (stamp, data) = (stamp.display().to_string(), stamp.with_extension("json").display().to_string());
        let verify = ["ts", "-verify", "-in", &stamp, "-CAfile", "ca.pem", "-data"];
        done("openssl", &[&verify[..], &[&data]].concat(), &tsa)?;
        ensure!(!run("openssl", &[&verify[..], &["tsa.cnf"]].concat(), &tsa)?, "anything passes");
    }

    let witnesses = [&heads, &pushed, &folder].map(|path| path.display().to_string());
    let journal = place.path().join("data/journal").join(&node);
    let verify =
        |witness: &str| place.run(&["audit", "verify", "--json", &journal.display().to_string(), "--witness", witness]);
    for witness in &witnesses {
        let (code, text) = verify(witness)?;
        ensure!(code == 0 && text.contains("\"witnessed\""), "{witness}: {text}");
    }
    let last = files(&journal, "jsonl").pop().context("a segment")?;
    let text = fs::read_to_string(&last)?;
    // The journal ends with a checkpoint of long ago, as if nothing had been after it.
    let kept = text.lines().position(|line| line.contains("\"event\":\"checkpoint\"")).context("a checkpoint")?;
    let cut: String = text.lines().take(kept + 1).flat_map(|line| [line, "\n"]).collect();
    ensure!(cut.len() < text.len(), "there is nothing to cut off");
    fs::write(&last, cut)?;
    let (code, text) = place.run(&["audit", "verify", &journal.display().to_string()])?;
    ensure!(code == 0, "nothing in the journal tells: {text}");
    for witness in &witnesses {
        let (code, text) = verify(witness)?;
        ensure!(code != 0 && text.contains("the end is missing"), "{witness}: {text}");
    }
    Ok(())
}

/// An authority that answers with a stamp of before, of something else: it is not kept.
// spec: RFC3161#2.4.2
#[tokio::test(flavor = "multi_thread")]
async fn a_stamp_of_something_else_is_not_taken_for_one() -> Result<()> {
    let place = Place::new()?;
    let tsa = place.path().join("tsa");
    authority(&tsa)?;
    let Some(stamps) = Receiver::stamps(&tsa, &["--stale"])? else { return Ok(()) };
    let witness = json!([{ "timestamp": format!("http://{}/", stamps.host()), "every": "1s" }]);
    place.audited(&json!({ "witness": witness }), &[stamps.host()])?;
    let up = place.up()?;
    let tokens = place.sign_in(&up).await?;
    let node = fs::read_to_string(place.path().join("data/node"))?.trim().to_owned();
    let folder = place.path().join("data/timestamps").join(&node);
    wait("the first is good", || Ok(files(&folder, "tsr").len() == 1))?;
    place.calls(&tokens.access, 5, "x").await?;
    wait("the second is refused", || Ok(fs::read_to_string(place.log())?.contains("stamped something else")))?;
    up.stop()?;
    ensure!(files(&folder, "tsr").len() == 1 && files(&folder, "json").len() == 1);
    let statement: Value = serde_json::from_str(&fs::read_to_string(&files(&folder, "json")[0])?)?;
    ensure!(statement["statement"]["node"] == json!(node), "{statement}");
    Ok(())
}
