//! Kinds that no story here produces, because it takes a fault, another program or the command line, with the tests that do.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

/// A kind, a file from the root of the repository, and the test in it that produces the kind and says so.
pub const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "approval.unknown",
        "crates/cli/tests/crash/approvals.rs",
        "t87_killed_before_the_answer_it_is_unknown_and_never_made_again",
    ),
    (
        "approval.untold",
        "crates/gateway/tests/doors/hooks.rs",
        "channel_that_fails_is_tried_again_and_what_it_gives_up_is_in_the_record",
    ),
    (
        "client.document",
        "crates/gateway/tests/doors/documents.rs",
        "a_document_is_fetched_only_for_somebody_who_is_signed_in",
    ),
    (
        "connection.lost",
        "crates/gateway/src/connections/tests/calls.rs",
        "grant_that_is_over_needs_a_sign_in_and_keeps_its_place",
    ),
    (
        "connection.refused",
        "crates/gateway/src/connections/tests/news.rs",
        "refused_token_is_renewed_once_and_then_needs_a_sign_in",
    ),
    (
        "identity.ended",
        "tests/house/tests/threats/departure.rs",
        "t53_an_account_closed_at_the_provider_ends_everything_of_the_person",
    ),
    ("journal.ample", "crates/gateway/src/journal/tests.rs", "room_that_gets_scarce_and_ample_again_is_written_down"),
    ("journal.recovered", "crates/gateway/src/journal/tests.rs", "calls_left_open_by_a_crash_are_ended_as_unknown"),
    (
        "journal.removed",
        "crates/gateway/src/journal/tests/keeping.rs",
        "old_segments_go_to_the_archive_and_then_away_and_what_is_left_follows_from_them",
    ),
    (
        "journal.resumed",
        "crates/gateway/src/journal/tests.rs",
        "full_disk_refuses_events_whole_and_is_left_behind_when_there_is_space",
    ),
    ("journal.scarce", "crates/gateway/src/journal/tests.rs", "room_that_gets_scarce_and_ample_again_is_written_down"),
    ("journal.stopped", "crates/gateway/src/journal/tests.rs", "closed_journal_verifies_and_goes_on_where_it_ended"),
    ("key_ring.added", "crates/cli/tests/cli/keys.rs", "data_keys_change_while_the_gateway_runs"),
    ("key_ring.retired", "crates/cli/tests/cli/keys.rs", "data_keys_change_while_the_gateway_runs"),
    ("passkey.added", "crates/gateway/tests/doors/passkeys.rs", "passkey_proves_one_challenge_of_its_owner_once"),
    ("passkey.removed", "crates/gateway/tests/doors/passkeys.rs", "passkey_proves_one_challenge_of_its_owner_once"),
    (
        "process.started",
        "tests/house/tests/threats/hosted.rs",
        "t89_key_and_files_of_one_person_are_in_nobody_elses_process",
    ),
    (
        "rights.ended",
        "crates/gateway/tests/doors/access.rs",
        "rights_and_words_of_whoever_leaves_end_and_that_is_written_down",
    ),
    ("server.protected", "crates/cli/tests/cli/servers.rs", "servers_are_probed_registered_and_taken_away"),
    ("server.removed", "crates/cli/tests/cli/servers.rs", "servers_are_probed_registered_and_taken_away"),
    ("store.restored", "tests/house/tests/threats/restored.rs", "t101_a_restored_database_brings_nothing_back_to_life"),
    (
        "sink.refused",
        "tests/house/tests/sinks/poison.rs",
        "line_that_is_refused_is_set_aside_and_recorded_and_the_others_arrive",
    ),
];

/// The kinds; fails if a test is not there, or does not speak of its kind.
pub fn checked() -> Result<Vec<&'static str>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut kinds = Vec::new();
    for (kind, file, test) in ELSEWHERE {
        let text = fs::read_to_string(root.join(file)).with_context(|| format!("{file}, which produces {kind}"))?;
        let (_, after) =
            text.split_once(&format!("fn {test}(")).with_context(|| format!("no test {test} in {file}"))?;
        let body = after.split("\n}\n").next().unwrap_or_default();
        let variant: String = kind.split(['.', '_']).map(capitalized).collect();
        ensure!(
            body.contains(kind) || body.contains(&format!("Kind::{variant}")),
            "{file}: {test} says nothing of {kind}"
        );
        kinds.push(*kind);
    }
    Ok(kinds)
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    format!("{}{rest}", first.to_uppercase())
}
