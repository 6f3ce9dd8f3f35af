use std::time::Duration;

use portcullis_mcp::dialect::{Task, TaskStatus, TaskSupport, as_task, of_task, related_task};

/// spec: BR-89, BR-87, BR-98, BR-80
#[test]
fn a_task_is_recognised_by_the_words_of_its_own_protocol() {
    let older =
        r#"{"task":{"taskId":"a\u0062","status":"input_required","statusMessage":"m","ttl":null,"pollInterval":2500}}"#;
    let task = Task::created_in_2025(older).unwrap();
    assert_eq!((&*task.id, task.status, task.message.as_deref()), ("ab", TaskStatus::InputRequired, Some("m")));
    assert_eq!(task.poll, Duration::from_millis(2500));
    assert_eq!(Task::created(older), None);

    let today = r#"{"resultType":"task","taskId":"t","status":"completed","ttlMs":1,"pollIntervalMs":300,"result":{"content":[]}}"#;
    let task = Task::created(today).unwrap();
    assert_eq!(
        (&*task.id, task.status, task.poll, task.raw),
        ("t", TaskStatus::Completed, Duration::from_millis(300), today)
    );
    assert_eq!(Task::created_in_2025(today), None);
    assert_eq!(Task::created(&today.replace("\"task\"", "\"complete\"")), None);
    assert_eq!(
        Task::read(&today.replace("\"task\"", "\"complete\"")).map(|task| task.status),
        Some(TaskStatus::Completed)
    );

    for broken in
        ["{}", "[]", r#"{"taskId":"","status":"working"}"#, r#"{"taskId":"a","status":"done"}"#, r#"{"taskId":1}"#]
    {
        assert_eq!(Task::read(broken), None, "{broken}");
    }
}

#[test]
fn waits_between_questions_are_bounded() {
    for (said, expected) in [
        ("", 1_000),
        (r#","pollInterval":0"#, 100),
        (r#","pollInterval":-1"#, 1_000),
        (r#","pollInterval":1e9"#, 1_000),
        (r#","pollInterval":18446744073709551615"#, 60_000),
        (r#","pollIntervalMs":200,"pollInterval":300"#, 200),
    ] {
        let raw = format!(r#"{{"taskId":"t","status":"working"{said}}}"#);
        assert_eq!(Task::read(&raw).unwrap().poll, Duration::from_millis(expected), "{said}");
    }
    let table = [
        ("working", TaskStatus::Working, false),
        ("input_required", TaskStatus::InputRequired, false),
        ("completed", TaskStatus::Completed, true),
        ("failed", TaskStatus::Failed, true),
        ("cancelled", TaskStatus::Cancelled, true),
    ];
    for (name, status, ends) in table {
        assert_eq!((TaskStatus::parse(name), status.is_final()), (Some(status), ends));
    }
}

/// spec: BR-98, BR-45
#[test]
fn a_tool_that_needs_a_task_is_called_as_one() {
    for (tool, support) in [
        (r#"{"execution":{"taskSupport":"required"}}"#, TaskSupport::Required),
        (r#"{"execution":{"taskSupport":"optional"}}"#, TaskSupport::Optional),
        (r#"{"execution":{"taskSupport":"forbidden"}}"#, TaskSupport::Forbidden),
        (r#"{"execution":{}}"#, TaskSupport::Forbidden),
        (r#"{"execution":"required"}"#, TaskSupport::Forbidden),
        ("{}", TaskSupport::Forbidden),
    ] {
        assert_eq!(TaskSupport::of_tool(tool), support, "{tool}");
    }
    assert_eq!(as_task(r#"{"name":"t"}"#, Duration::from_secs(60)), r#"{"name":"t","task":{"ttl":60000}}"#);
    assert_eq!(of_task("a\"b"), r#"{"taskId":"a\"b"}"#);
    let related = r#"{"message":"m","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}"#;
    assert_eq!(related_task(related).as_deref(), Some("t"));
    for unrelated in ["{}", r#"{"_meta":{}}"#, r#"{"_meta":{"io.modelcontextprotocol/related-task":"t"}}"#] {
        assert_eq!(related_task(unrelated), None, "{unrelated}");
    }
}
