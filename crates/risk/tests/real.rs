//! Tools of servers that many people run, and of our own sample.

use std::collections::BTreeMap;

use portcullis_base::{Class, Class::*};
use portcullis_risk::{Flaw, Server, Source, Tool, classify};
use serde_json::{Value, json};

/// A tool as its server describes it: name, words, parameters, read-only hint, and what it is.
type Known = (&'static str, &'static str, &'static [&'static str], Option<bool>, Class);

fn check(server: &str, source: Source, tools: &[Known]) {
    let server = Server::new(server, tools.iter().map(|tool| tool.0), source);
    let mut wrong = Vec::new();
    for (name, description, fields, read_only, class) in tools {
        let properties: BTreeMap<&str, Value> =
            fields.iter().map(|field| (*field, json!({ "type": "string" }))).collect();
        let mut definition = json!({ "name": name, "description": description,
            "inputSchema": { "type": "object", "properties": properties } });
        if let Some(read_only) = read_only {
            definition["annotations"] = json!({ "readOnlyHint": read_only });
        }
        let found = classify(&Tool::new(name, &definition.to_string()), &server);
        if found.classes.primary() != *class {
            let why: Vec<_> = found.evidence.iter().map(ToString::to_string).collect();
            wrong.push(format!("{name}: {class} expected: {why:#?}"));
        }
        let lie = found.findings.iter().any(|one| one.flaw == Flaw::AnnotLie);
        let expected = *read_only == Some(true) && ![Read, Unknown].contains(class);
        assert_eq!(lie, expected, "{name}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_filesystem_server() {
    let (read, write) = (Some(true), Some(false));
    check(
        "filesystem",
        Source::Untrusted,
        &[
            (
                "read_text_file",
                "Read the complete contents of a file from the file system as text.",
                &["path"],
                read,
                Read,
            ),
            ("read_media_file", "Read a file and return it as a base64-encoded content block.", &["path"], read, Read),
            ("read_multiple_files", "Read the contents of multiple files simultaneously.", &["paths"], read, Read),
            (
                "write_file",
                "Create a new file or completely overwrite an existing file with new content.",
                &["path", "content"],
                write,
                Destructive,
            ),
            (
                "edit_file",
                "Make line-based edits to a text file. Each edit replaces exact line sequences.",
                &["path", "edits", "dryRun"],
                write,
                Write,
            ),
            ("create_directory", "Create a new directory or ensure a directory exists.", &["path"], write, Write),
            (
                "list_directory",
                "Get a detailed listing of all files and directories in a specified path.",
                &["path"],
                read,
                Read,
            ),
            (
                "list_directory_with_sizes",
                "Get a detailed listing of all files, including sizes.",
                &["path", "sortBy"],
                read,
                Read,
            ),
            (
                "directory_tree",
                "Get a recursive tree view of files and directories as a JSON structure.",
                &["path"],
                read,
                Read,
            ),
            ("move_file", "Move or rename files and directories.", &["source", "destination"], write, Write),
            (
                "search_files",
                "Recursively search for files and directories matching a pattern.",
                &["path", "pattern"],
                read,
                Read,
            ),
            ("get_file_info", "Retrieve detailed metadata about a file or directory.", &["path"], read, Read),
            (
                "list_allowed_directories",
                "Returns the list of directories that this server is allowed to access.",
                &[],
                read,
                Read,
            ),
        ],
    );
}

#[test]
fn the_everything_server() {
    let (read, write) = (Some(true), Some(false));
    check(
        "everything",
        Source::Untrusted,
        &[
            // Nobody would know what an echo is.
            ("echo", "Echoes back the input string", &["message"], read, Unknown),
            ("get-annotated-message", "Demonstrates how annotations can be used.", &["messageType"], read, Read),
            ("get-env", "Returns all environment variables, helpful for debugging", &[], read, Read),
            ("get-resource-links", "Returns up to ten resource links", &["count"], read, Read),
            ("get-roots-list", "Lists the current MCP roots provided by the client.", &[], read, Read),
            (
                "get-structured-content",
                "Returns structured content along with an output schema",
                &["location"],
                read,
                Read,
            ),
            ("get-sum", "Returns the sum of two numbers", &["a", "b"], read, Read),
            ("get-tiny-image", "Returns a tiny MCP logo image.", &[], read, Read),
            (
                "gzip-file-as-resource",
                "Compresses a single file using gzip compression.",
                &["name", "data"],
                write,
                Unknown,
            ),
            ("simulate-research-query", "Simulates a deep research operation", &["topic"], write, Write),
            ("toggle-simulated-logging", "Toggles simulated logging on or off.", &[], write, Write),
            // Its first word runs things, and nothing else speaks against it.
            (
                "trigger-long-running-operation",
                "Demonstrates a long running operation with progress updates.",
                &["duration", "steps"],
                read,
                Execute,
            ),
            (
                "trigger-sampling-request",
                "Trigger a Request from the Server for LLM Sampling",
                &["prompt"],
                write,
                Execute,
            ),
        ],
    );
}

const SAMPLE: &[Known] = &[
    ("list_notes", "Lists number and title of every note.", &[], Some(true), Read),
    ("read_note", "Gives the text of one note.", &["id"], Some(true), Read),
    ("search_notes", "Finds notes whose title or text contains a word.", &["query", "limit"], Some(true), Read),
    ("add_note", "Writes a new note into the notebook.", &["title", "text"], Some(false), Write),
    ("delete_note", "Removes one note for good.", &["id"], Some(false), Destructive),
    ("count_slowly", "Counts for some seconds and tells how far it has come.", &["seconds", "steps"], Some(true), Read),
    ("greet", "Asks for a name and greets whoever answers.", &[], Some(true), Read),
    (
        "find_customer",
        "Finds customers of the make-believe company by a part of their name.",
        &["query"],
        Some(true),
        Read,
    ),
    ("list_invoices", "Lists the invoices of the make-believe company.", &[], Some(true), Read),
    ("show_ledger", "Shows every call that set out to change the make-believe company.", &[], Some(true), Read),
    ("refund_payment", "Pays money back to a customer.", &["customer", "amount", "currency"], Some(false), Financial),
    ("delete_customer", "Deletes a customer for good.", &["customer"], Some(false), Destructive),
    ("drop_table", "Drops a table with all that is in it.", &["table"], Some(false), Destructive),
    ("send_mail", "Sends a mail in the name of the company.", &["to", "subject", "text"], Some(false), Egress),
];

#[test]
fn our_own_sample() {
    check("notes", Source::Untrusted, SAMPLE);
    check("notes", Source::Untrusted, &[("echo", "Says what it is told.", &["message", "times"], Some(true), Unknown)]);
    // It is compiled in: its word may be taken.
    check("notes", Source::Trusted, SAMPLE);
    check("notes", Source::Trusted, &[("echo", "Says what it is told.", &["message", "times"], Some(true), Read)]);
}

/// The tools of GitHub's server (July 2026) that it marks as reading, and those that it does not.
const GITHUB_READS: &str = "actions_get actions_list find_duplicate get_code_quality_finding get_code_scanning_alert get_commit \
    get_dependabot_alert get_discussion get_discussion_comments get_file_blame get_file_contents get_gist \
    get_global_security_advisory get_job_logs get_label get_latest_release get_me get_notification_details \
    get_release_by_tag get_repository_tree get_secret_scanning_alert get_tag get_team_members get_teams \
    issue_dependency_read issue_read list_branches list_code_scanning_alerts list_commits list_dependabot_alerts \
    list_discussion_categories list_discussions list_gists list_global_security_advisories list_issue_fields \
    list_issue_types list_issues list_label list_notifications list_org_repository_security_advisories \
    list_pull_requests list_releases list_repository_collaborators list_repository_security_advisories \
    list_secret_scanning_alerts list_starred_repositories list_tags projects_get projects_list pull_request_read \
    search_code search_commits search_issues search_orgs search_pull_requests search_repositories search_users \
    ui_get";
const GITHUB_DOES: &str = "actions_run_trigger add_comment_to_pending_review add_issue_comment add_issue_comment_reaction \
    add_issue_reaction add_pull_request_review_comment add_pull_request_review_comment_reaction \
    add_reply_to_pull_request_comment add_sub_issue assign_copilot_to_issue assign_copilot_to_issue_with_intent \
    create_branch create_gist create_issue create_or_update_file create_pull_request create_pull_request_review \
    create_repository delete_file delete_pending_pull_request_review delete_repository discussion_comment_write \
    dismiss_notification fork_repository issue_dependency_write issue_write label_write \
    manage_notification_subscription manage_repository_notification_subscription mark_all_notifications_read \
    merge_pull_request projects_write pull_request_review_write push_files remove_sub_issue reprioritize_sub_issue \
    request_copilot_review request_pull_request_reviewers resolve_review_thread set_issue_fields star_repository \
    sub_issue_write submit_pending_pull_request_review unresolve_review_thread unstar_repository update_gist \
    update_issue_assignees update_issue_body update_issue_labels update_issue_milestone update_issue_state \
    update_issue_title update_issue_type update_pull_request update_pull_request_body update_pull_request_branch \
    update_pull_request_draft_state update_pull_request_state update_pull_request_title";

#[test]
fn github_s_own_hints_agree_with_names_alone() {
    let all: Vec<&str> = GITHUB_READS.split_whitespace().chain(GITHUB_DOES.split_whitespace()).collect();
    assert!(all.len() > 100);
    let server = Server::new("github", all.iter().copied(), Source::Untrusted);
    let reads = |name: &&str| classify(&Tool::new(name, "{}"), &server).classes == Read.into();
    let wrong: Vec<_> = GITHUB_READS.split_whitespace().filter(|name| !reads(name)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let wrong: Vec<_> = GITHUB_DOES.split_whitespace().filter(|name| reads(name)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
