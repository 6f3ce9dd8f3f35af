//! Which tools a question finds, in which order, and what a list costs.

use portcullis_mcp::ranking::{Index, TOOLS, tokens};
use proptest::prelude::*;

const TOOLBOX: [&str; 9] = [
    r#"{"name":"github__create_issue","description":"Opens a new issue in a repository.","inputSchema":{"type":"object","properties":{"repository":{"type":"string"},"title":{"type":"string","description":"One line"}}}}"#,
    r#"{"name":"github__list_issues","description":"Lists the issues of a repository.","inputSchema":{"type":"object","properties":{"repository":{"type":"string"}}}}"#,
    r#"{"name":"github__deleteBranch","description":"Removes a branch.","inputSchema":{"type":"object"}}"#,
    r#"{"name":"mail__send","title":"Send an e-mail","description":"Sends a message to one or more people.","inputSchema":{"type":"object","properties":{"to":{"type":"array"},"body":{"type":"string"}}}}"#,
    r#"{"name":"calendar__find_slot","description":"Finds a time at which everybody is free.","inputSchema":{"type":"object","properties":{"attendees":{"type":"array","items":{"type":"object","properties":{"mailAddress":{"type":"string"}}}}}}}"#,
    r#"{"name":"billing__getAPIKeyUsage","description":"How much a key was used.","inputSchema":{"type":"object"}}"#,
    r#"{"name":"wetter__abfrage","description":"Zeigt das Wetter in Zürich und anderswo.","inputSchema":{"type":"object"}}"#,
    r#"{"name":"tenki","description":"東京の天気予報を調べる","inputSchema":{"type":"object"}}"#,
    r#"{"name":"wiki__search","description":"Searches the pages of the wiki; an issue, a branch or a message is not a page.","inputSchema":{"type":"object"}}"#,
];

fn names(question: &str) -> Vec<String> {
    let index = Index::new(TOOLBOX);
    index.search(question, 10).into_iter().map(|hit| name(hit.tool)).collect()
}

fn name(place: usize) -> String {
    let definition: serde_json::Value = serde_json::from_str(TOOLBOX[place]).expect("a definition");
    definition["name"].as_str().expect("a name").to_owned()
}

// spec: AG-28
#[test]
fn question_finds_the_tool_that_does_it_first() {
    for (question, first) in [
        ("create an issue", "github__create_issue"),
        ("github__list_issues", "github__list_issues"),
        ("githubListIssues", "github__list_issues"),
        ("issue listing", "github__list_issues"),
        ("creating issues", "github__create_issue"),
        ("delete branch", "github__deleteBranch"),
        ("DELETE BRANCHES", "github__deleteBranch"),
        ("send email message", "mail__send"),
        ("api key", "billing__getAPIKeyUsage"),
        ("free time", "calendar__find_slot"),
        ("mail address", "calendar__find_slot"),
        ("cal", "calendar__find_slot"),
        ("repo issue", "github__list_issues"),
        ("zurich", "wetter__abfrage"),
        ("ZÜRICH", "wetter__abfrage"),
        ("天気", "tenki"),
        ("東京", "tenki"),
        ("search wiki pages", "wiki__search"),
    ] {
        assert_eq!(names(question).first().map(String::as_str), Some(first), "{question}: {:?}", names(question));
    }
    for nothing in ["", "   ", "?!", "submarine", "大阪"] {
        assert!(names(nothing).is_empty(), "{nothing}: {:?}", names(nothing));
    }
}

#[test]
fn what_fits_equally_is_in_the_order_of_names_and_the_limit_holds() {
    let definition = |name: &str| format!(r#"{{"name":"{name}","description":"Same words."}}"#);
    let all: Vec<String> = ["zeta", "alpha", "mid"].map(definition).to_vec();
    let index = Index::new(all.iter().map(String::as_str));
    let places = |limit| index.search("same words", limit).iter().map(|hit| hit.tool).collect::<Vec<_>>();
    assert_eq!((places(5), places(2), places(0)), (vec![1, 2, 0], vec![1, 2], vec![]));
}

#[test]
fn index_is_bounded_and_survives_what_is_no_tool() {
    let many: Vec<String> = (0..TOOLS + 10).map(|n| format!(r#"{{"name":"tool_x{n}y"}}"#)).collect();
    let index = Index::new(many.iter().map(String::as_str));
    assert_eq!(index.search("tool", usize::MAX).len(), TOOLS);
    assert!(index.search(&format!("x{TOOLS}y"), 5).is_empty());
    let broken = ["", "[]", "{", r#"{"name":7,"inputSchema":{"properties":[]}}"#, r#"{"name":"fine"}"#];
    assert_eq!(Index::new(broken).search("fine", 5)[0].tool, 4);
    assert!(Index::new([]).search("anything", 5).is_empty());
}

// spec: AG-28
#[test]
fn cost_of_a_list_grows_with_what_is_read() {
    // The figures that the rule in the documentation gives.
    for (text, estimate) in [
        ("", 0),
        ("word", 1),
        ("two words", 2),
        ("internationalization", 3),
        ("2026", 2),
        (r#"{"name":"search"}"#, 6),
        ("東京", 2),
        ("привет", 3),
    ] {
        assert_eq!(tokens(text), estimate, "{text}");
    }
    let list: String = TOOLBOX.concat();
    let per_token = list.chars().count() as f64 / tokens(&list) as f64;
    assert!((2.5..5.0).contains(&per_token), "{per_token} characters a token");
}

proptest! {
    #[test]
    fn search_never_panics_and_says_the_same_twice(question in ".{0,60}", text in ".{0,200}") {
        let definition = serde_json::json!({ "name": question, "description": text }).to_string();
        let index = Index::new([definition.as_str(), TOOLBOX[0]]);
        prop_assert_eq!(index.search(&question, 5), index.search(&question, 5));
        let _ = tokens(&text);
    }
}
