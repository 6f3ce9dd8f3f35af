//! Endpoints over several servers.

use insta::assert_snapshot;
use portcullis_base::ServerName;

use super::*;
use crate::toolbox::Search;

const SERVERS: &str = "servers:\n  - { name: github, url: \"https://github.example/mcp\" }\n  - { name: crm, url: \"https://crm.example/mcp\" }\n";

#[test]
fn toolboxes_are_read_as_written() {
    let text = format!(
        "{SERVERS}{}",
        r#"toolboxes:
  - name: support
    description: For the support team
    instructions: Be kind.
    access: [group:support]
    search: on
    tools:
      - server: crm
      - server: github
        include: ["search_*", create_issue]
        exclude: [search_code]
        rename: { create_issue: open_ticket }
        describe: { create_issue: Opens a ticket. }
        fixed: { create_issue: { repo: acme/x, labels: [a, 1] } }
        defaults: { search_issues: { limit: 20 } }
    resources:
      - { server: github, include: ["repo://*"] }
  - name: small
    tools: [{ server: elsewhere }]
    prompts: none
"#
    );
    let loaded = Config::load(&sources(&text, &[], &[])).unwrap_or_else(|problems| panic!("{problems}"));
    let [support, small] = loaded.config.toolboxes.as_slice() else { panic!("two") };
    let order: Vec<_> = support.shares.iter().map(|share| share.server.as_str()).collect();
    assert_eq!((order, support.search, small.search), (vec!["crm", "github"], Search::On, Search::Off));
    let groups: Vec<&str> = support.access.entries.iter().map(|entry| &*entry.group).collect();
    assert_eq!(groups, ["support"]);
    let github = support.share("github").unwrap();
    // spec: AG-26
    for (tool, taken) in [("search_issues", true), ("search_code", false), ("create_issue", true), ("delete", false)] {
        assert_eq!(github.tools.takes(tool), taken, "{tool}");
    }
    assert_eq!(github.tool_name("create_issue"), "open_ticket");
    assert_eq!(github.tool_name("search_issues"), "github__search_issues");
    assert_eq!(github.edits["create_issue"].fixed["labels"], r#"["a",1]"#);
    assert_eq!(github.edits["search_issues"].defaults["limit"], "20");
    assert!(github.resources.takes("repo://a") && !github.resources.takes("file://a"));
    assert!(support.share("crm").unwrap().resources.is_empty() && support.share("crm").unwrap().prompts.takes("x"));
    assert!(small.shares[0].prompts.is_empty() && small.shares[0].resources.takes("x"));

    // Servers of the database are known when it is.
    let names = |names: &[&str]| names.iter().map(|name| ServerName::parse(name).unwrap()).collect::<Vec<_>>();
    assert_eq!(loaded.config.check_toolboxes(&names(&["github", "crm", "elsewhere"])), Ok(()));
    let refused = loaded.config.check_toolboxes(&names(&["githup", "crm", "small"])).unwrap_err();
    assert_snapshot!(refused.to_string(), @r#"
    portcullis.yaml:12: toolboxes[0].tools[1].server: there is no server "github"; did you mean "githup"?
        servers are: githup, crm, small
    portcullis.yaml:20: toolboxes[0].resources[0].server: there is no server "github"; did you mean "githup"?
        servers are: githup, crm, small
    portcullis.yaml:22: toolboxes[1].tools[0].server: there is no server "elsewhere"
        servers are: githup, crm, small
    portcullis.yaml:21: toolboxes[1].name: "small" is the name of a server
        give the toolbox a name of its own
    "#);
}

// spec: T-73, AG-5
#[test]
fn what_clashes_in_a_toolbox_is_refused() {
    let text = format!(
        "{SERVERS}  - {{ name: all, url: \"https://all.example/mcp\" }}\n{}",
        r#"toolboxes:
  - { name: all, tools: [{ server: github }] }
  - { name: crm, tools: [{ server: github }] }
  - name: box
    serach: on
    tools:
      - server: github
        rename: { a: send_mail, b: Send-Mai1, c: crm_find, d: "x__y", e: call-too1, f: "sp ace" }
      - { server: crm, rename: { a: send_mail }, exclude: [b], describe: { b: x }, fixed: { c: { p: 1 } }, defaults: { c: { p: 2 } } }
      - { server: crm }
  - name: box
  - { name: Empty Box, search: maybe, tools: [{ server: git hub }], prompts: some }
"#
    );
    assert_snapshot!(problems(&text), @r#"
    portcullis.yaml:4: servers[2].name: "all" is the name of the endpoint with everything that its caller may use
        give the server another name
    portcullis.yaml:6: toolboxes[0].name: "all" is the name of the endpoint with everything that its caller may use
        give the toolbox another name; /mcp/all is there without being set up
    portcullis.yaml:7: toolboxes[1].name: "crm" is the name of a server
        give the toolbox a name of its own
    portcullis.yaml:9: toolboxes[2].serach: unknown key; did you mean "search"?
        known here: name, description, instructions, access, search, tools, prompts, resources
    portcullis.yaml:12: toolboxes[2].tools[0].rename.d: "x__y" has "__", which stands between a server and its own name for a tool
        example: open_ticket
    portcullis.yaml:12: toolboxes[2].tools[0].rename.e: "call-too1" looks like search_tools, describe_tool or call_tool, which search a toolbox
        example: open_ticket
    portcullis.yaml:12: toolboxes[2].tools[0].rename.f: "sp ace" is not a tool name: use 1 to 64 of A-Z, a-z, 0-9, "_" and "-"
        example: open_ticket
    portcullis.yaml:12: toolboxes[2].tools[0].rename.b: "Send-Mai1" looks like "send_mail", which is another tool here
        tell them apart clearly
    portcullis.yaml:12: toolboxes[2].tools[0].rename.c: "crm_find" looks like a tool of the server "crm", and is one of another
        give it a name that does not begin with another server's
    portcullis.yaml:13: toolboxes[2].tools[1].describe.b: "b" is not among the tools that are taken
        add it to include, or take it out of exclude
    portcullis.yaml:13: toolboxes[2].tools[1].defaults.c.p: is fixed too, so nobody can give another value
        keep one of the two
    portcullis.yaml:13: toolboxes[2].tools[1].rename.a: "send_mail" looks like "Send-Mai1", which is another tool here
        tell them apart clearly
    portcullis.yaml:14: toolboxes[2].tools[2].server: "crm" is here a second time
        write everything about one server in one entry
    portcullis.yaml:15: toolboxes[3].name: "box" names a second toolbox
        give each toolbox a name of its own
    portcullis.yaml:15: toolboxes[3].tools: is missing: a toolbox has tools, prompts or resources of at least one server
        example: tools: [{ server: github }]
    portcullis.yaml:16: toolboxes[4].name: "Empty Box" is not a server name: use 1 to 32 of a-z, 0-9 and "-", not beginning with "-"
        did you mean "empty-box"?
    portcullis.yaml:16: toolboxes[4].search: expected one of off, on, found "maybe"
    portcullis.yaml:16: toolboxes[4].tools[0].server: "git hub" is not a server name: use 1 to 32 of a-z, 0-9 and "-", not beginning with "-"
        did you mean "git-hub"?
    portcullis.yaml:16: toolboxes[4].prompts: expected one of all, none, found "some"
    portcullis.yaml:16: toolboxes[4].tools: is missing: a toolbox has tools, prompts or resources of at least one server
        example: tools: [{ server: github }]
    "#);
}
