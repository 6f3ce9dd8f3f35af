use portcullis_base::Holder;
use portcullis_store::{ServerFacts, ServerRow, ToolList};

use crate::{
    connections::{held_by, server},
    given::{Given, HOUR, NOW, after, digest, groups},
    on_both,
};

on_both!(
    facts_are_the_last_ones_and_go_with_the_entry,
    that_a_server_asks_is_known_of_one_address,
    list_is_its_holders_own
);

async fn facts_are_the_last_ones_and_go_with_the_entry(given: &Given) {
    let row = ServerRow { name: server("a"), entry_json: "{}".into(), created_at: NOW, created_by: "ada".into() };
    given.put_server(&row, NOW).await.unwrap();
    let facts = ServerFacts {
        url: "https://a.example/mcp".into(),
        versions: groups(&["2025-11-25", "2026-07-28"]),
        learned_at: NOW,
    };
    given.put_server_facts(&server("a"), &facts).await.unwrap();
    let newer = ServerFacts { learned_at: after(HOUR), ..facts.clone() };
    given.put_server_facts(&server("a"), &newer).await.unwrap();
    given.put_server_facts(&server("b"), &facts).await.unwrap();
    assert_eq!(given.server_facts(&server("a")).await.unwrap(), Some(newer));
    given.put_server(&row, NOW).await.unwrap();
    assert_eq!(given.server_facts(&server("a")).await.unwrap(), None, "it may be another server now");
    assert_eq!(given.server_facts(&server("b")).await.unwrap(), Some(facts));
}

async fn that_a_server_asks_is_known_of_one_address(given: &Given) {
    let (a, here, there) = (server("a"), "https://a.example/mcp", "https://b.example/mcp");
    assert!(!given.has_server_asked(&a, here).await.unwrap());
    given.server_asks(&a, here, NOW).await.unwrap();
    let facts = ServerFacts { url: here.into(), versions: groups(&["2025-11-25"]), learned_at: after(HOUR) };
    given.put_server_facts(&a, &facts).await.unwrap();
    assert!(given.has_server_asked(&a, here).await.unwrap(), "what it speaks says nothing of that");
    given.server_asks(&a, here, after(HOUR)).await.unwrap();
    assert_eq!(given.server_facts(&a).await.unwrap(), Some(facts.clone()), "nor the other way round");
    assert!(!given.has_server_asked(&a, there).await.unwrap());
    given.put_server_facts(&a, &ServerFacts { url: there.into(), ..facts }).await.unwrap();
    for url in [here, there] {
        assert!(!given.has_server_asked(&a, url).await.unwrap(), "of a server that moved nothing is known");
    }
}

/// spec: T-51
async fn list_is_its_holders_own(given: &Given) {
    let (ada, bob) = (held_by(&given.person("ada").await.id), held_by(&given.person("bob").await.id));
    let list = |text: &str| ToolList { digest: digest(text), list: text.into(), seen_at: NOW };
    let a = server("a");
    for (holder, text) in [(Some(&ada), "ada's"), (Some(&Holder::Shared), "shared"), (None, "everybody's")] {
        given.put_tool_list(&a, holder, &list("old")).await.unwrap();
        given.put_tool_list(&a, holder, &list(text)).await.unwrap();
    }
    assert_eq!(given.tool_list(&a, Some(&ada)).await.unwrap(), Some(list("ada's")));
    assert_eq!(given.tool_list(&a, Some(&Holder::Shared)).await.unwrap(), Some(list("shared")));
    assert_eq!(given.tool_list(&a, None).await.unwrap(), Some(list("everybody's")));
    assert_eq!(given.tool_list(&a, Some(&bob)).await.unwrap(), None);
    assert_eq!(given.tool_list(&server("b"), Some(&ada)).await.unwrap(), None);
    let mut all = given.tool_lists(&a, 10).await.unwrap();
    all.sort_by(|(_, a), (_, b)| a.list.cmp(&b.list));
    let expected = [(Some(ada.clone()), "ada's"), (None, "everybody's"), (Some(Holder::Shared), "shared")];
    assert_eq!(all, expected.map(|(holder, text)| (holder, list(text))));
    assert_eq!(given.tool_lists(&a, 2).await.unwrap().len(), 2);
    given.connected(&ada, "a", "x").await;
    given.remove_connection(&ada, &a, NOW).await.unwrap();
    assert_eq!(given.tool_list(&a, Some(&ada)).await.unwrap(), None, "who disconnects leaves nothing");
    assert!(given.tool_list(&a, None).await.unwrap().is_some());
}
