use portcullis_mcp::{
    Method, Version,
    dialect::{
        Abilities, Ask, Asked, Failure, Input, Level, Sampling, Stamp, Task, TaskSupport, as_task, related_task,
        signed, without_files,
    },
    message::{Message, message},
    scan::{self, Limits},
};
use proptest::prelude::*;

use super::{OLDER, from, to};

/// Words that mean something somewhere, so that what is made up of them goes far.
const WORDS: [&str; 58] = [
    "resultType",
    "ttlMs",
    "cacheScope",
    "_meta",
    "content",
    "structuredContent",
    "type",
    "text",
    "audio",
    "data",
    "mimeType",
    "resource_link",
    "uri",
    "name",
    "tools",
    "inputSchema",
    "outputSchema",
    "properties",
    "execution",
    "messages",
    "role",
    "user",
    "assistant",
    "code",
    "message",
    "requiredCapabilities",
    "elicitations",
    "url",
    "mode",
    "form",
    "requestedSchema",
    "string",
    "array",
    "object",
    "boolean",
    "oneOf",
    "const",
    "title",
    "default",
    "method",
    "params",
    "elicitation/create",
    "sampling/createMessage",
    "roots/list",
    "maxTokens",
    "includeContext",
    "allServers",
    "roots",
    "action",
    "accept",
    "model",
    "capabilities",
    "extensions",
    "taskId",
    "status",
    "working",
    "task",
    "io.modelcontextprotocol/related-task",
];

/// JSON of such words, most of it objects.
fn json() -> impl Strategy<Value = String> {
    let word = || proptest::sample::select(&WORDS[..]);
    let leaf = prop_oneof![
        4 => word().prop_map(|word| format!("\"{word}\"")),
        1 => proptest::sample::select(&["-32002", "-32042", "-32021", "-32602", "1.50", "1e3"][..]).prop_map(str::to_owned),
        1 => proptest::sample::select(&["true", "false", "null", r#""\u0061\"\\""#, "\"é\""][..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(6, 96, 8, move |inner| {
        let members = prop::collection::btree_map(word(), inner.clone(), 0..8);
        let object = members.prop_map(|members| {
            let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            format!("{{{}}}", members.join(" , "))
        });
        let array = prop::collection::vec(inner, 0..4).prop_map(|elements| format!("[{}]", elements.join(",")));
        prop_oneof![3 => object, 1 => array]
    })
}

/// Everything that comes of a text, whatever it is.
fn everything(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let sampling = Some(Sampling { tools: true, context: false });
    let all = Abilities { roots: true, sampling, forms: true, pages: true, tasks: true, apps: None };
    let read = Abilities::read(text);
    out.push(read.to_json());
    let stamp = Stamp { client_info: "{}", abilities: &all, log_level: Some(Level::Info), progress_token: Some("1") };
    for version in OLDER {
        let (down, up) = (to(version), from(version));
        out.push(down.abilities(text).to_json());
        out.push(down.initialize_result(text, "{}"));
        out.push(down.request_params(Some(text), &stamp));
        out.push(up.capabilities(&read));
        out.push(up.discovery(text));
        out.push(up.request_params(Some(text), Some("1")));
        for method in Method::all() {
            out.push(down.result(method, text).into_owned());
            out.push(up.result(method, text).into_owned());
            out.push(down.error(method, text).into_owned());
            match up.error(method, Some(text), text, &all) {
                Failure::Error(error) => out.push(error),
                Failure::Input(entries) => out.extend(entries),
            }
            for whole in
                [text.to_owned(), format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}","params":{text}}}"#, method.name())]
            {
                let Ok(Message::Request(call) | Message::Notification(call)) = message(&whole) else { continue };
                out.extend(down.notification(&call).map(String::from));
                out.extend(up.notification(&call).map(String::from));
                if let Asked::Entry(_, entry) = up.asked(&call, &all) {
                    out.push(entry);
                }
            }
        }
        for input in [Input::Elicitation, Input::Sampling, Input::Roots] {
            let entry = format!(r#"{{"method":"{}","params":{text}}}"#, input.method().name());
            for entry in [text, &entry] {
                if let Ok(Ask::Request { params, .. }) = down.ask(entry, &all, "id") {
                    out.push(params);
                }
            }
            out.extend(down.answer(input, text));
            out.extend(up.answer(input, text));
        }
    }
    out.push(signed(text, "s").into_owned());
    out.push(without_files(text).into_owned());
    out.push(as_task(text, std::time::Duration::from_secs(1)));
    let (task, created, older) = (Task::read(text), Task::created(text), Task::created_in_2025(text));
    out.extend([task, created, older].into_iter().flatten().map(|task| task.raw.to_owned()));
    let _ = (TaskSupport::of_tool(text), related_task(text), Level::of_params(text), Level::of_raw(text));
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_of_json_is_json(text in json()) {
        prop_assert!(scan::check(text.as_bytes(), &Limits::default()).is_ok(), "{text}");
        for out in everything(&text) {
            prop_assert!(scan::check(out.as_bytes(), &Limits::default()).is_ok(), "{text} became {out}");
        }
    }

    #[test]
    fn nothing_panics_on_text_that_was_cut_or_never_was_json(text in json(), cut in any::<prop::sample::Index>(), noise in "\\PC{0,40}") {
        let mut cut = cut.index(text.len() + 1);
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        everything(&text[..cut]);
        everything(&text[cut..]);
        everything(&noise);
        everything(&format!("{{\"{noise}"));
    }

    #[test]
    fn a_legacy_client_never_sees_todays_hop(text in json(), version in proptest::sample::select(&OLDER[..])) {
        let said = format!(r#"{{"resultType":"complete","ttlMs":1,"cacheScope":"public","com.example":{text}}}"#);
        for method in Method::all() {
            let told = to(version).result(method, &said).into_owned();
            prop_assert_eq!(scan::member(&told, "com.example"), Some(&*text));
            prop_assert_eq!(scan::member(&told, "resultType").or(scan::member(&told, "ttlMs")), None);
            let back = from(version).result(method, &told).into_owned();
            prop_assert_eq!(scan::member(&back, "com.example"), Some(&*text));
            prop_assert_eq!(scan::member(&back, "resultType"), Some("\"complete\""));
        }
        prop_assert!(Version::KNOWN.contains(&version));
    }
}
