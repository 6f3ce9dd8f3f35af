//! Names that sound like what they are not, and definitions that say more than their names.

use portcullis_base::{Class, Class::*, Classes, Label};
use portcullis_risk::{Assessment, Flaw, Server, Source, Tool, classify};
use serde_json::{Value, json};

fn judged(name: &str, definition: &Value) -> Assessment {
    classify(&Tool::new(name, &definition.to_string()), &Server::unknown(Source::Untrusted))
}

fn by_name(name: &str) -> Assessment {
    judged(name, &json!({ "name": name, "description": "" }))
}

fn primary(name: &str) -> Class {
    by_name(name).classes.primary()
}

#[test]
fn a_name_alone_is_taken_for_what_it_says() {
    let expected = [
        ("undelete_file", Write),
        ("list_deleted_items", Read),
        ("get_delete_policy", Read),
        ("list_charges", Read),
        ("wait_for_run_to_complete", Read),
        ("whoami", Read),
        ("pull_request_read", Read),
        ("take_screenshot", Read),
        ("decompile_function", Read),
        ("read_only_delete", Destructive),
        ("findAndRemove", Destructive),
        ("d1_database_delete", Destructive),
        ("kubectl_delete", Destructive),
        ("bulk_delete_users", Destructive),
        ("delete_user_tag", Destructive),
        ("truncate_table", Destructive),
        ("clear_graph", Destructive),
        ("wipeLogs", Destructive),
        ("git_reset", Destructive),
        ("reset_password", Destructive),
        ("remove_background", Write),
        ("truncate_text", Write),
        ("clear_filter", Write),
        ("manage_notification_subscription", Write),
        ("atlas-create-access-list", Write),
        ("http_request", Write),
        ("transfer_funds", Financial),
        ("transfer_repository", Destructive),
        ("transfer_file", Egress),
        ("create_refund", Financial),
        ("cancelOrder", Financial),
        ("run_sql_transaction", Execute),
        ("call_aws", Execute),
        ("slack_post_message", Egress),
        ("executive_summary", Read),
        ("compost_tips", Unknown),
        ("output_format", Unknown),
        ("dropdown_options", Unknown),
        ("do_thing", Unknown),
        ("evaluate_candidate", Execute),
        ("postgres_query", Read),
        ("get_run", Read),
        ("sub_issue_write", Write),
        // Beyond the list.
        ("list_create", Write),
        ("query_delete", Destructive),
        ("get_or_create_user", Write),
        ("preview_delete", Read),
        ("list_trash", Read),
        ("clear_user_cache", Destructive),
        ("scale_cluster", Destructive),
        ("order_by", Unknown),
        ("benutzer_loeschen", Destructive),
        ("删除用户", Destructive),
        ("python_repl", Execute),
        ("invoke_lambda", Execute),
        ("get_user_and_delete_history", Destructive),
        ("find_issues_then_close", Write),
        ("list_read_write_permissions", Read),
        ("read_write_file", Write),
        ("capture_screenshot", Read),
        ("zpa_bulk_delete_connectors", Destructive),
        ("reactivate_policy", Write),
        ("rebuild_index", Write),
        ("resend_invoice", Financial),
        ("recall_memory", Unknown),
        ("unfreeze_account", Unknown),
        ("unmerge_records", Write),
        ("mark_all_read", Destructive),
        ("clear_all_filters", Write),
        ("burn_calories", Unknown),
        ("swap_tokens", Financial),
    ];
    let wrong: Vec<_> = expected
        .into_iter()
        .filter_map(|(name, class)| {
            let got = by_name(name);
            (got.classes.primary() != class).then(|| format!("{name}: {class} expected, {:?}", got.evidence))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_stands_beside_the_class_is_said_too() {
    for name in ["read_only_delete", "findAndRemove", "get_and_delete"] {
        assert!(by_name(name).findings.iter().any(|one| one.flaw == Flaw::NameConflict), "{name}");
    }
    assert!(!by_name("get_delete_policy").findings.iter().any(|one| one.flaw == Flaw::NameConflict));
    let labelled = [
        ("bulk_delete_users", Label::Bulk),
        ("reset_password", Label::IdentityAdmin),
        ("atlas-create-access-list", Label::IdentityAdmin),
        ("transfer_repository", Label::IdentityAdmin),
        ("fetch_webpage", Label::UntrustedContent),
        ("read_email", Label::PrivateData),
        ("get_secret", Label::SecretAccess),
        ("create_gist", Label::PublicSink),
        ("wipe_disk", Label::Irreversible),
    ];
    for (name, label) in labelled {
        assert!(by_name(name).labels.contains(label), "{name}: {:?}", by_name(name).labels);
    }
    let cancel = by_name("cancelOrder").classes;
    assert!(cancel.contains(Destructive) && cancel.contains(Financial));
    assert!(by_name("evaluate_candidate").needs_review());
    assert!(!by_name("run_sql_transaction").classes.contains(Financial));
    assert!(by_name("zpa_bulk_delete_connectors").labels.contains(Label::Bulk));
    assert_eq!((by_name("delete_page").confidence, by_name("page_delete").confidence), (80, 65));
}

#[test]
fn letters_that_look_like_others_change_nothing_for_the_better() {
    for name in ["d\u{435}lete_customer", "ｄｅｌｅｔｅ_customer", "del\u{200b}ete_customer", "\u{202e}delete_customer"]
    {
        assert_eq!(primary(name), Destructive, "{name:?}");
    }
    // Reading is not earned by looking like it, nor by what cannot be read at all.
    assert_eq!(by_name("g\u{435}t_customer").classes, Classes::UNKNOWN);
    assert_eq!(by_name("ｇｅｔ_customer").classes, Read.into());
    assert_eq!(primary("\u{1d05}elete_list"), Unknown);
    assert_eq!(primary("de1ete_customer"), Unknown);
}

#[test]
fn a_server_s_own_name_before_its_tools_is_left_out() {
    let tools = ["asana_batch_get_tasks", "asana_create_task", "asana_search"];
    let server = Server::new("asana", tools, Source::Untrusted);
    let class = |name: &str| classify(&Tool::new(name, "{}"), &server).classes.primary();
    assert_eq!(class("asana_batch_get_tasks"), Read);
    assert_eq!(class("asana_create_task"), Write);
}

fn with(name: &str, description: &str, properties: Value) -> Assessment {
    judged(
        name,
        &json!({ "name": name, "description": description,
        "inputSchema": { "type": "object", "properties": properties, "additionalProperties": false } }),
    )
}

#[test]
fn descriptions_raise_and_never_lower() {
    let class = |name: &str, text: &str| with(name, text, json!({})).classes.primary();
    assert_eq!(class("get_item", "Deletes the item."), Destructive);
    assert_eq!(class("get_item", "Gets the item and deletes it from the queue."), Destructive);
    assert_eq!(class("get_item", "Gets the item. Deletes it afterwards."), Destructive);
    assert_eq!(class("delete_item", "Safely reads the item, a read-only tool."), Destructive);
    assert_eq!(class("get_item", "Gets the item. It does not delete anything."), Read);
    assert_eq!(class("get_item", "Gets deleted items, without removing any."), Read);
    assert_eq!(class("get_item", "Gets the item (e.g. of a user) and deletes it"), Destructive);
    assert_eq!(class("get_item", "Not only reads but deletes the item"), Destructive);
    assert_eq!(class("get_item", "Without asking, deletes the item"), Destructive);
    assert_eq!(class("get_item", "Never fails to delete the item"), Destructive);
    assert_eq!(class("get_item", "It cannot fail: deletes the item"), Destructive);
    assert_eq!(class("get_item", "Gets the item. Delete is not offered."), Read);
    assert_eq!(class("get_item", "Gets the item. To delete it, use another tool."), Read);
    assert_eq!(class("get_posts", "Lists posts, comments and orders"), Read);
    assert_eq!(class("manage_items", "Manages items: add/update/delete"), Destructive);
    assert_eq!(class("write_item", "Creates an item or completely overwrites it"), Destructive);
    assert_eq!(class("thing", "Something that is there"), Unknown);
    assert_eq!(class("thing", "Work with accounts, databases and queries"), Unknown);
    assert_eq!(class("thing", "Manages subscription plans of customers"), Write);
    assert_eq!(class("frobnicate", "Never deletes. Only for lists."), Unknown);
    assert_eq!(class("frobnicate", "Handles everything: create/update/delete items"), Destructive);
    assert_eq!(class("frobnicate", "This tool allows you to list, create and remove items"), Destructive);
    assert_eq!(class("frobnicate", "Returns the weather"), Read);
    assert_eq!(class("set_style", "Apply a hover state"), Write);
    assert_eq!(class("clear_filter", "Clear the filter"), Write);
    assert_eq!(class("clear_filter", "Delete all rows"), Destructive);
    assert_eq!(class("submit", "Submit a new order for execution"), Financial);
    assert_eq!(class("get_thing", "ユーザーを削除します"), Destructive);
    assert_eq!(class("get_thing", "なんでもやります"), Unknown);
    assert_eq!(class("thing", "Supprime un utilisateur"), Destructive);
    let foreign = with("get_thing", "Что-то делает с вещью", json!({}));
    assert_eq!((foreign.classes, foreign.confidence), (Classes::UNKNOWN, 20));
    let weak = with("frobnicate", "Creates a thing", json!({}));
    assert_eq!((weak.classes.primary(), weak.confidence, weak.needs_review()), (Write, 40, true));
}

#[test]
fn parameters_say_what_names_leave_out() {
    let text = json!({ "type": "string" });
    let class = |name: &str, properties: Value| with(name, "", properties).classes.primary();
    assert_eq!(class("query", json!({ "sql": text })), Execute);
    assert_eq!(class("query", json!({ "sql": { "type": "string", "enum": ["SELECT 1", "SELECT 2"] } })), Read);
    assert_eq!(class("query", json!({ "sql": { "type": "string", "pattern": "^\\s*SELECT[^;]*$" } })), Read);
    assert_eq!(class("query", json!({ "sql": { "type": "string", "pattern": "^(SELECT|DELETE)" } })), Execute);
    assert_eq!(class("query", json!({ "sql": { "type": "string", "pattern": "SELECT" } })), Execute);
    assert_eq!(class("run_query", json!({ "sql": { "type": "string", "pattern": "^SELECT [^;]+$" } })), Read);
    assert_eq!(class("search", json!({ "query": text })), Read);
    assert_eq!(class("search_issues", json!({ "jql": text })), Read);
    assert_eq!(class("http_request", json!({ "url": text, "body": text })), Execute);
    assert_eq!(class("http_request", json!({ "url": text, "method": text })), Execute);
    assert_eq!(class("http_request", json!({ "method": { "enum": ["GET", "DELETE"] } })), Destructive);
    assert_eq!(class("frobnicate", json!({ "command": text })), Execute);
    assert_eq!(class("get_country", json!({ "code": text })), Read);
    assert_eq!(class("get_status", json!({ "command": text })), Execute);
    assert_eq!(
        class("create_thing", json!({ "a": { "type": "object", "properties": { "to": text, "body": text } } })),
        Egress
    );
    assert_eq!(class("create_thing", json!({ "amount": { "type": "number" }, "currency": text })), Financial);
    assert_eq!(class("get_thing", json!({ "amount": { "type": "number" }, "currency": text })), Read);
    assert_eq!(class("update_thing", json!({ "force": { "type": "boolean" } })), Destructive);
    assert_eq!(class("update_thing", json!({ "note": text })), Write);
    assert_eq!(class("list_files", json!({ "recursive": { "type": "boolean" } })), Read);
    assert_eq!(class("send_things", json!({ "ids": { "type": "array" } })), Egress);
    // A name that reads may look at an address; what tells an address of its caller's sends.
    assert_eq!(class("get_report", json!({ "callback_url": text })), Egress);
    // A description alone earns less trust than a name.
    assert_eq!(with("thing", "Gets in touch", json!({ "to": text, "body": text })).classes.primary(), Egress);
    assert_eq!(with("thing", "Gets a page", json!({ "url": text })).classes.primary(), Read);
    assert_eq!(class("query_data", json!({ "sql_query": text })), Execute);
    assert_eq!(with("get_messages", "", json!({ "channel": text })).classes.primary(), Read);
    assert_eq!(class("run_thing", json!({ "command": { "type": "string", "maxLength": 60 } })), Execute);
    assert_eq!(
        class("manage_thing", json!({ "action": { "enum": ["list", "get_deleted", "user.delete"] } })),
        Destructive
    );
    assert_eq!(class("manage_thing", json!({ "action": { "enum": ["list", "get_deleted"] } })), Write);
    let broken = with("query", "", json!({ "sql": text }));
    assert!(broken.findings.iter().any(|one| one.flaw == Flaw::NameConflict) && broken.needs_review());
    let fetched = with("fetch_page", "", json!({ "url": text }));
    assert!(fetched.classes == Read.into() && fetched.labels.contains(Label::UntrustedContent));
    assert!(with("delete_things", "", json!({ "filter": text })).labels.contains(Label::Bulk));
    assert!(
        !with("delete_things", "", json!({ "filter": text, "limit": { "type": "integer" } }))
            .labels
            .contains(Label::Bulk)
    );
    assert!(with("write_file", "", json!({ "path": text })).labels.contains(Label::LocalMachine));
    let irreversible = |extra: &str| {
        with("update_thing", "", json!({ "force": { "type": "boolean" }, (extra): { "type": "boolean" } })).labels
    };
    assert!(
        irreversible("quiet").contains(Label::Irreversible) && !irreversible("dry_run").contains(Label::Irreversible)
    );
}

#[test]
fn a_query_said_to_be_read_only_is_still_a_query_of_free_form() {
    let run = |properties| with("postgres_query", "Run a read-only query", properties).classes.primary();
    assert_eq!(run(json!({ "sql": { "type": "string" } })), Execute);
    let audit = with("lighthouse_audit", "Run Lighthouse checks", json!({}));
    assert_eq!(audit.classes.primary(), Execute);
    assert_eq!(primary("run_audit"), Read);
    assert_eq!(
        with("run_audit", "Run an audit", json!({ "command": { "type": "string" } })).classes.primary(),
        Execute
    );
}

#[test]
fn flaws_of_a_definition_are_found_and_their_look_alikes_are_not() {
    let text = json!({ "type": "string" });
    let has = |flaw, name: &str, words: &str, properties: Value| {
        with(name, words, properties).findings.iter().any(|one| one.flaw == flaw)
    };
    for secret in ["password", "api_key", "apiKey", "otp", "clientSecret"] {
        assert!(has(Flaw::AsksSecret, "sign_in", "", json!({ (secret): text })), "{secret}");
    }
    for fine in ["password_policy", "max_tokens", "page_token", "key", "tokenizer"] {
        assert!(!has(Flaw::AsksSecret, "get_thing", "", json!({ (fine): text })), "{fine}");
    }
    assert!(!has(
        Flaw::AsksSecret,
        "list",
        "",
        json!({ "token": { "type": "string", "description": "Of the next page" } })
    ));
    assert!(!has(Flaw::AsksSecret, "edit_message", "", json!({ "pin": { "type": "boolean" } })));
    for poured in ["sidenote", "reasoning", "instructions", "context", "metadata", "notes"] {
        assert!(
            has(Flaw::ExfilParam, "add_numbers", "Adds two numbers", json!({ (poured): text })) || poured == "notes",
            "{poured}"
        );
    }
    assert!(has(Flaw::ExfilParam, "get_sum", "Sums up", json!({ "notes": text })));
    assert!(!has(Flaw::ExfilParam, "generate_image", "From words", json!({ "prompt": text })));
    assert!(!has(Flaw::ExfilParam, "create_contact", "", json!({ "notes": text })));
    assert!(!has(Flaw::ExfilParam, "set_context", "", json!({ "context": text })));
    let open = |schema: Value| {
        judged("get_thing", &json!({ "inputSchema": schema })).findings.iter().any(|one| one.flaw == Flaw::OpenSchema)
    };
    assert!(open(json!({ "type": "object", "properties": { "a": text } })));
    assert!(open(json!({ "type": "object", "additionalProperties": true })));
    assert!(open(
        json!({ "type": "object", "additionalProperties": false, "properties": { "a": { "type": "object" } } })
    ));
    assert!(open(json!({ "$ref": "https://example.com/schema" })));
    assert!(!open(json!({ "type": "object", "additionalProperties": false, "properties": { "a": text } })));
    assert!(!open(json!({ "type": "object", "properties": {} })));
}

// spec: T-75
#[test]
fn hints_make_graver_and_only_those_of_a_trusted_definition_make_milder() {
    let judged = |name: &str, source, hints: Value| {
        let definition = json!({ "name": name, "annotations": hints }).to_string();
        classify(&Tool::new(name, &definition), &Server::unknown(source))
    };
    let lies =
        |found: &Assessment| found.findings.iter().find(|one| one.flaw == Flaw::AnnotLie).map(|one| one.severity);
    let read_only = json!({ "readOnlyHint": true });
    for source in [Source::Untrusted, Source::Trusted] {
        let delete = judged("delete_item", source, read_only.clone());
        assert_eq!(delete.classes, Destructive.into());
        assert_eq!(lies(&delete), Some(portcullis_risk::Severity::High));
        let sent = portcullis_risk::hints(&delete);
        assert!(!sent.read_only && sent.destructive && !sent.idempotent);
        assert_eq!(judged("delete_item", source, json!({ "destructiveHint": false })).classes, Destructive.into());
        assert_eq!(judged("run_thing", source, read_only.clone()).classes, Execute.into());
    }
    let create = judged("create_item", Source::Untrusted, read_only.clone());
    assert_eq!((create.classes, lies(&create)), (Write.into(), Some(portcullis_risk::Severity::Medium)));
    assert_eq!(judged("frobnicate", Source::Untrusted, read_only.clone()).classes, Classes::UNKNOWN);
    assert_eq!(
        judged("cancel_item", Source::Untrusted, json!({ "destructiveHint": false })).classes,
        Destructive.into()
    );
    // Somebody has looked at these.
    assert_eq!(judged("create_item", Source::Trusted, read_only.clone()).classes, Read.into());
    assert_eq!(judged("frobnicate", Source::Trusted, read_only.clone()).classes, Read.into());
    assert_eq!(judged("send_item", Source::Trusted, read_only).classes, Egress.into());
    assert_eq!(judged("cancel_item", Source::Trusted, json!({ "destructiveHint": false })).classes, Write.into());
    // Graver, from whomever.
    let raised = judged("create_item", Source::Untrusted, json!({ "destructiveHint": true, "openWorldHint": true }));
    assert!(raised.classes.contains(Destructive) && raised.classes.contains(Egress));
    assert_eq!(
        judged("get_item", Source::Untrusted, json!({ "destructiveHint": true })).classes.primary(),
        Destructive
    );
    // All four as a kit writes them out say nothing.
    let defaults =
        json!({ "readOnlyHint": false, "destructiveHint": true, "idempotentHint": false, "openWorldHint": true });
    assert_eq!(judged("get_item", Source::Untrusted, defaults).classes, Read.into());
    let silent = |name| by_name(name).findings.iter().any(|one| one.flaw == Flaw::AnnotMissing);
    assert!(silent("create_item") && !silent("get_item"));
}

// spec: T-105
#[test]
fn a_tool_that_takes_any_statement_executes_whatever_its_text_says() {
    let with = |name: &str, input: Value| {
        let text = "Reads data, and only reads. Never changes anything.";
        judged(name, &json!({ "name": name, "description": text, "inputSchema": input })).classes
    };
    let takes = |key: &str, schema: Value| json!({ "type": "object", "properties": { key: schema } });
    let text = || json!({ "type": "string" });
    for name in
        ["graphql", "query_graphql", "queryGraphQL", "graphql_query", "admin_graphql", "mysql_query", "read_sql", "sql"]
    {
        for input in [takes("query", text()), takes("document", text()), json!({ "type": "object" })] {
            assert!(with(name, input.clone()).contains(Execute), "{name} {input}");
        }
        let bound = takes("query", json!({ "enum": ["orders", "customers"] }));
        assert!(!with(name, bound).contains(Execute), "{name}");
    }
    for name in ["search_graphql", "validate_graphql", "get_graphql_schema", "list_sql", "query_orders", "sql_glossary"]
    {
        assert!(!with(name, takes("query", text())).contains(Execute), "{name}");
    }
}
