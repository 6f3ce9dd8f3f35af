//! What happened: searched, told, exported, and indexed anew.

use std::{fs, os::unix::fs::PermissionsExt};

use portcullis_audit::IndexRow;
use portcullis_base::Timestamp;
use portcullis_store::{AuditCursor, AuditEntry, DatabaseSettings, Store};

use super::{Sandbox, blocks, commands, documentation, transcript};

/// The index of another node's journal, which is not here: a call with what it said.
async fn a_call(sandbox: &Sandbox) {
    let settings = DatabaseSettings::Sqlite(sandbox.path("data/portcullis.db"));
    let store = Store::open(&settings, Timestamp::from_secs(1)).await.expect("open");
    let common = r#""node":"far","call":"call_1","request":"00000000000000000000000a","person":"usr_1","person_name":"ana","client":"desk","server":"mail","method":"tools/call","name":"=send","#;
    let lines = [
        format!(r#"{{"seq":1,"at":"2026-11-24T05:00:00.000Z","event":"call.decided",{common}"effect":"allow","rule":"access","revision":"r","details":{{"approval":"apr_1","arguments":{{"to":"canary"}}}}}}"#),
        format!(r#"{{"seq":2,"at":"2026-11-24T05:00:01.500Z","event":"call.ended",{common}"outcome":"success","details":{{"duration_us":1500000}}}}"#),
        r#"{"seq":3,"at":"2026-11-24T04:59:00.000Z","node":"far","event":"approval.granted","person_name":"ben","details":{"approval":"apr_1"}}"#.to_owned(),
        r#"{"seq":4,"at":"2026-11-24T04:58:00.000Z","node":"far","event":"signout","person_name":"ben"}"#.to_owned(),
    ];
    let entry =
        |line: String| AuditEntry { row: IndexRow::parse(line.as_bytes()).expect("a line").1.expect("a row"), line };
    let entries: Vec<_> = lines.into_iter().map(entry).collect();
    assert!(store.append_audit(&entries, 0, &AuditCursor { node: "far".into(), seq: 4 }).await.expect("written"));
}

#[tokio::test(flavor = "multi_thread")]
async fn story_of_a_call_is_told_in_the_order_of_time_and_who_reads_arguments_is_recorded() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.add_person("ana", &[]).code, 0);
    a_call(&sandbox).await;
    let told = sandbox.run(&["audit", "show", "call_1"]);
    let places: Vec<_> = ["approval.granted", "call.decided", "call.ended", "duration_us: 1500000"]
        .map(|part| told.out.find(part))
        .into();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{}", transcript(&told));
    assert!(!told.out.contains("canary") && !told.out.contains("signout"), "{}", told.out);
    let viewed = || sandbox.run(&["audit", "query", "--kind", "audit.viewed"]).out;
    assert_eq!(viewed(), "Nothing was found.\n");
    assert!(sandbox.run(&["audit", "show", "call_1", "--arguments"]).out.contains("canary"));
    assert!(viewed().contains("audit.viewed"), "{}", viewed());
    let unknown = sandbox.run(&["audit", "show", "call_2"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("no event tells of a call \"call_2\""), "{}", unknown.err);
    for found in
        [["--text", "SEN"], ["--approval", "apr_1"], ["--request", "00000000000000000000000a"], ["--tool", "=send"]]
    {
        let out = sandbox.run(&[&["audit", "query"][..], &found].concat()).out;
        assert!(out.contains("call.decided") && !out.contains("signout"), "{found:?}: {out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_are_the_journal_as_it_stands_or_a_table_without_formulas() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.add_person("ana", &[]).code, 0);
    a_call(&sandbox).await;
    let whole = sandbox.path("whole.jsonl").display().to_string();
    let ended = sandbox.run(&["audit", "export", "--to", &whole]);
    assert_eq!(ended.code, 0, "{}", transcript(&ended));
    // Every byte of it, and that it was exported is in it.
    let text = fs::read_to_string(&whole).expect("an export");
    assert_eq!(text, fs::read_to_string(sandbox.path("data/journal/cli/0000000000000001.jsonl")).expect("a journal"));
    assert!(text.contains("\"event\":\"audit.exported\"") && text.contains("\"filter\":\"everything\""), "{text}");
    assert_eq!(fs::metadata(&whole).expect("a file").permissions().mode() & 0o777, 0o600);
    let again = sandbox.run(&["audit", "export", "--to", &whole]);
    assert!(again.code == 1 && again.err.contains("choose a file that is not there yet"), "{}", transcript(&again));
    assert_eq!(fs::read_to_string(&whole).expect("an export"), text);

    let part = sandbox.path("part.jsonl").display().to_string();
    assert_eq!(sandbox.run(&["audit", "export", "--call", "call_1", "--to", &part]).code, 0);
    let lines = fs::read_to_string(&part).expect("an export");
    assert_eq!(lines.lines().count(), 2);
    assert!(lines.lines().all(|line| line.contains("call_1")) && lines.contains("canary"), "{lines}");

    let table = sandbox.path("table.csv").display().to_string();
    assert_eq!(sandbox.run(&["audit", "export", "--format", "csv", "--person", "ana", "--to", &table]).code, 0);
    let text = fs::read_to_string(&table).expect("an export");
    let rows: Vec<_> = text.split("\r\n").collect();
    assert!(rows[0].starts_with("time,node,seq,event,call,") && rows.len() == 4, "{text}");
    assert!(rows[1].starts_with("2026-11-24T05:00:01.500Z,far,2,call.ended,call_1,"), "{text}");
    assert!(rows[2].contains(",'=send,") && rows[2].contains("\"{\"\"approval\"\":\"\"apr_1\"\""), "{text}");
}

#[test]
fn index_is_made_anew_from_the_journals() {
    let sandbox = Sandbox::new();
    for name in ["ana", "ben"] {
        assert_eq!(sandbox.add_person(name, &[]).code, 0);
    }
    let found = || sandbox.run(&["audit", "query", "--kind", "person."]).out;
    let before = found();
    rusqlite::Connection::open(sandbox.path("data/portcullis.db"))
        .and_then(|file| file.execute_batch("delete from audit_open"))
        .expect("an index that lost its lines");
    assert_eq!(found(), "Nothing was found.\n");
    let ended = sandbox.run(&["audit", "reindex"]);
    assert!(ended.code == 0 && ended.out.starts_with("cli: indexed up to number"), "{}", transcript(&ended));
    assert_eq!(found(), before);
    let unknown = sandbox.run(&["audit", "reindex", "--node", "nobody"]);
    assert!(unknown.code == 1 && unknown.err.contains("there is no journal of \"nobody\""), "{}", transcript(&unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn insight_counts_what_was_indexed_and_says_what_it_cannot_read() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.add_person("ana", &[]).code, 0);
    a_call(&sandbox).await;
    let days = ["--from", "2026-11-23", "--to", "2026-11-24"];
    let told = sandbox.run(&[&["insight"][..], &days].concat());
    for part in ["Calls 1, errors 0, denied 0", "Approvals asked for 0, granted 1", "mail =send", "usr_1", "desk"] {
        assert!(told.out.contains(part), "{part}: {}", transcript(&told));
    }
    let told = sandbox.run(&[&["insight", "--json"][..], &days].concat()).out;
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((&told["total"]["calls"], &told["tools"][0]["name"]), (&1.into(), &"=send".into()), "{told}");
    assert!(told["total"]["p50_us"].as_i64().is_some_and(|micros| (1_350_000..1_650_000).contains(&micros)), "{told}");
    for wrong in [["--range", "1y"], ["--from", "yesterday"]] {
        assert_eq!(sandbox.run(&["insight", wrong[0], wrong[1]]).code, 2, "{wrong:?}");
    }
}

/// Secrets of the guides' settings, by their length: keys of hooks are those of Standard Webhooks.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn settings_of_the_guides_are_taken() {
    let guides = ["docs/guides/audit.md", "docs/guides/telemetry.md"].map(documentation);
    let settings: Vec<String> = guides.iter().flat_map(|guide| blocks(guide, "yaml")).collect();
    assert!(settings.len() >= 6, "the settings are not found any more");
    for text in settings.iter().filter(|text| !text.contains("scrape_configs")) {
        let sandbox = Sandbox::new();
        for name in ["OTLP_AUTHORIZATION", "SIEM_SECRET", "WITNESS_SECRET"] {
            sandbox.write(name, SECRET);
        }
        // Certificates are read when the settings are.
        let text = text.replace("env:", "file:");
        let text: Vec<&str> = text.lines().filter(|line| !line.contains("company-ca.pem")).collect();
        sandbox.write("portcullis.yaml", &text.join("\n"));
        let shown = sandbox.run(&["config", "show"]);
        assert_eq!(shown.code, 0, "{}", transcript(&shown));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_guide_find_tell_export_and_prove() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.add_person("alice", &[]).code, 0);
    a_call(&sandbox).await;
    sandbox.write("portcullis.yaml", "audit: { witness: [{ file: heads.jsonl }] }\n");
    let up = ["up", "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0"];
    assert_eq!(sandbox.start(&up, "Ctrl-C stops").stop(), 0);
    let commands = commands(&documentation("docs/guides/audit.md"));
    assert!(commands.len() >= 9, "the commands are not found any more: {commands:?}");
    for command in commands {
        let command = command
            .replace("audit show CALL", "audit show call_1")
            .replace("/backup/journal --keys /backup/keys", "data/journal --keys data/journal")
            .replace("/mnt/elsewhere/heads.jsonl", "heads.jsonl");
        let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
        let ended = sandbox.run(&arguments);
        assert_eq!(ended.code, 0, "{command}\n{}", transcript(&ended));
    }
}
