use portcullis_mcp::{
    Era, Method, Version,
    method::{Effect, Form, TargetKind},
};

/// Requests of clients per revision, as the published schemas list them.
const REQUESTS: [(Version, &str); 3] = [
    (
        Version::V2025_06_18,
        "initialize ping resources/list resources/templates/list resources/read resources/subscribe \
         resources/unsubscribe prompts/list prompts/get tools/list tools/call logging/setLevel completion/complete",
    ),
    (
        Version::V2025_11_25,
        "initialize ping resources/list resources/templates/list resources/read resources/subscribe \
         resources/unsubscribe prompts/list prompts/get tools/list tools/call tasks/get tasks/result tasks/cancel \
         tasks/list logging/setLevel completion/complete",
    ),
    (
        // The three of tasks belong to the extension of that name.
        Version::V2026_07_28,
        "server/discover resources/list resources/templates/list resources/read subscriptions/listen prompts/list \
         prompts/get tools/list tools/call completion/complete tasks/get tasks/update tasks/cancel",
    ),
];

#[test]
fn clients_have_exactly_the_requests_of_their_revision() {
    for (version, names) in REQUESTS {
        let mut expected: Vec<_> = names.split_whitespace().collect();
        let mut found: Vec<_> = Method::all()
            .filter(|method| method.form() == Form::Request && method.from_client() && method.exists_in(version))
            .map(Method::name)
            .collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{version}");
    }
}

/// spec: TR-42, TR-43
#[test]
fn headers_name_what_the_method_names() {
    for (method, member) in [
        (Method::ToolsCall, Some("name")),
        (Method::PromptsGet, Some("name")),
        (Method::ResourcesRead, Some("uri")),
        (Method::TasksGet, Some("taskId")),
        (Method::TasksUpdate, Some("taskId")),
        (Method::TasksCancel, Some("taskId")),
        (Method::ToolsList, None),
        (Method::Complete, None),
        (Method::ResourcesSubscribe, None),
    ] {
        assert_eq!(method.named_member(), member, "{}", method.name());
    }
    assert_eq!(Method::ResourcesSubscribe.target(), TargetKind::Resource);
}

#[test]
fn only_calls_are_more_than_reading() {
    let calls: Vec<_> = Method::all().filter(|method| method.effect() == Effect::Call).map(Method::name).collect();
    assert_eq!(calls, ["tools/call", "tasks/cancel", "tasks/update"]);
    assert!(Method::Elicit.from_server() && !Method::Elicit.from_client());
    assert!(!Method::Ping.exists_in_era(Era::Modern));
}
