//! Servers put behind the gateway and taken away, and entries for them in the settings of clients.

use std::{fs, net::TcpListener};

use insta::assert_snapshot;

use super::{Ended, Sandbox, transcript};

#[test]
fn client_entries_are_shown_written_and_left_alone() {
    let sandbox = Sandbox::new();
    let existing = "{\n\t// mine\n\t\"mcpServers\": {}\n}\n";
    let file = sandbox.write("home/.cursor/mcp.json", existing);
    assert_snapshot!(transcript(&sandbox.run(&["connect", "cursor"])), @r#"
    [DIR]/home/.cursor/mcp.json
      {
          // mine
    -     "mcpServers": {}
    +     "mcpServers": {
    +         "sample": {
    +             "url": "http://127.0.0.1:7878/mcp/sample"
    +         }
    +     }
      }

    Nothing is written yet. To write it: portcullis connect cursor --write
      or open: cursor://anysphere.cursor-deeplink/mcp/install?name=sample&config=eyJ1cmwiOiJodHRwOi8vMTI3LjAuMC4xOjc4NzgvbWNwL3NhbXBsZSJ9
    --- exit 0
    "#);
    assert_eq!(fs::read_to_string(&file).expect("read"), existing, "nothing is written without --write");
    assert_snapshot!(transcript(&sandbox.run(&["connect", "cursor", "--print"])), @r#"
    {
      "mcpServers": {
        "sample": {
          "url": "http://127.0.0.1:7878/mcp/sample"
        }
      }
    }
    --- exit 0
    "#);
    let written = sandbox.run(&["connect", "cursor", "--write", "--json"]);
    assert!(written.out.contains("\"changed\":true") && written.out.contains(".bak"), "{}", transcript(&written));
    let new = fs::read_to_string(&file).expect("read");
    assert!(new.starts_with("{\n\t// mine\n"), "{new}");
    let again = sandbox.run(&["connect", "cursor", "--write"]);
    assert_snapshot!(transcript(&again), @"
    ✓ Cursor already has http://127.0.0.1:7878/mcp/sample in [DIR]/home/.cursor/mcp.json
    --- exit 0
    ");
    assert_eq!(fs::read_to_string(&file).expect("read"), new);
    let backup = fs::read_dir(sandbox.path("home/.cursor")).expect("directory").flatten().map(|entry| entry.path());
    let backup = backup.into_iter().find(|path| path.extension().is_some_and(|end| end == "bak")).expect("backup");
    assert_eq!(fs::read_to_string(backup).expect("backup"), existing);

    let project = sandbox.run(&["connect", "vscode", "--scope", "project", "--write"]);
    assert_eq!(project.code, 0, "{}", transcript(&project));
    assert!(sandbox.path(".vscode/mcp.json").exists());
    assert!(sandbox.run(&["connect", "--list"]).out.contains("claude-code"));
}

#[test]
fn unknown_clients_and_servers_are_refused_with_the_nearest_name() {
    let sandbox = Sandbox::new();
    sandbox.write("portcullis.yaml", "servers:\n  - { name: tickets, url: https://tickets.example/mcp }\n  - { name: notes, url: https://notes.example/mcp }\n");
    assert_snapshot!(transcript(&sandbox.run(&["connect", "claud-code"])), @r#"
    --- stderr
    error: "claud-code" is not a client that is known here
      did you mean "claude-code"?
      known: claude-code, claude-desktop, cursor, vscode, vscode-insiders, vscodium, copilot-cli, copilot-jetbrains, copilot-xcode, visual-studio, codex, gemini-cli, qwen-code, antigravity, windsurf, zed, continue, cline, roo, goose, lmstudio, kiro, amazon-q, opencode, crush, junie, warp, amp, trae, qoder, factory, kimi, mistral-vibe, abacus, librechat, claude-ai, chatgpt
      for any other client: its entry is the URL of the server, sign-in is found by itself
    --- exit 2
    "#);
    assert_snapshot!(transcript(&sandbox.run(&["connect", "cursor"])), @"
    --- stderr
    error: there are several servers: say which one
      --server notes
      --server tickets
    --- exit 2
    ");
    assert_snapshot!(transcript(&sandbox.run(&["connect", "cursor", "--server", "ticket"])), @r#"
    --- stderr
    error: there is no server "ticket"
      did you mean "tickets"?
    --- exit 1
    "#);
    assert_snapshot!(transcript(&sandbox.run(&["connect", "chatgpt", "--server", "notes"])), @"
    Settings > Connectors > developer mode > add http://127.0.0.1:7878/mcp/notes with OAuth
    the connection comes from the cloud: the gateway needs a public https URL
    --- exit 0
    ");
    assert_snapshot!(transcript(&sandbox.run(&["connect", "windsurf", "--server", "notes", "--scope", "project"])), @"
    --- stderr
    error: Windsurf has no settings per project
      leave --scope out
    --- exit 2
    ");
    sandbox.write("home/.cursor/mcp.json", "{ \"mcpServers\": [] }");
    assert_snapshot!(transcript(&sandbox.run(&["connect", "cursor", "--server", "notes", "--write"])), @r#"
    --- stderr
    error: [DIR]/home/.cursor/mcp.json cannot be edited: "mcpServers" in it is not an object
      insert this by hand:
      {
        "mcpServers": {
          "notes": {
            "url": "http://127.0.0.1:7878/mcp/notes"
          }
        }
      }
    --- exit 1
    "#);
}

#[test]
fn servers_are_probed_registered_and_taken_away() {
    let sandbox = Sandbox::new();
    let sample = sandbox.start(&["sample", "--listen", "127.0.0.1:0"], "sample server is at");
    let url = format!("http://{}/mcp?key=s3cret", sample.address());
    let shown = |ended: Ended| transcript(&ended).replace(&sample.address(), "[SAMPLE]");
    let first = sandbox.run(&["protect", &url, "--name", "notebook"]);
    assert_eq!(first.code, 0, "{}", transcript(&first));
    assert!(first.out.contains("http://127.0.0.1:7878/mcp/notebook"), "{}", first.out);
    let again = sandbox.run(&["protect", &url, "--json"]);
    assert!(
        again.out.contains("\"changed\":false") && again.out.contains("\"name\":\"notebook\""),
        "{}",
        transcript(&again)
    );
    assert_snapshot!(shown(sandbox.run(&["protect", &url, "--name", "other"])), @r#"
    --- stderr
    error: http://[SAMPLE]/mcp is protected already, as "notebook"
      use that name, or run first: portcullis unprotect notebook
    --- exit 1
    "#);
    let changed = sandbox.run(&["protect", &url, "--group", "support", "--json"]);
    assert!(changed.out.contains("\"changed\":true"), "{}", transcript(&changed));

    let free = TcpListener::bind("127.0.0.1:0").expect("port");
    let nobody = free.local_addr().expect("address").to_string();
    drop(free);
    let unreachable = sandbox.run(&["protect", &format!("http://{nobody}/mcp"), "--name", "gone"]);
    assert_eq!(unreachable.code, 1);
    assert_snapshot!(unreachable.err.replace(&nobody, "[NOBODY]"), @"
    error: http://[NOBODY]/mcp cannot be reached: cannot connect: Connection refused (os error 111)
      check address and port, and that the server runs
    ");
    let elsewhere = sandbox.run(&["protect", &url.replace("/mcp?key=s3cret", "/nothing")]);
    assert_eq!(elsewhere.code, 1);
    assert_snapshot!(elsewhere.err.replace(&sample.address(), "[SAMPLE]"), @"
    error: http://[SAMPLE]/nothing is not an MCP endpoint: it does not answer as an MCP server: status 404, text/plain; charset=utf-8
      the URL must be that of the Streamable HTTP endpoint; it often ends in /mcp
    ");
    assert_snapshot!(shown(sandbox.run(&["protect", "https://other.example/mcp", "--name", "notebook"])), @r#"
    --- stderr
    error: the name "notebook" is taken by http://[SAMPLE]/mcp
      choose another: --name notebook-2
    --- exit 1
    "#);
    assert_snapshot!(shown(sandbox.run(&["protect", "http://mcp.internal/mcp"])), @"
    --- stderr
    error: http://mcp.internal/mcp is plain http to another machine: whoever is in between can read and change the calls
      use https://, or allow it for a network of your own: `private: true` in the file, `--private` with protect
    --- exit 2
    ");
    assert_snapshot!(shown(sandbox.run(&["protect", "notes"])), @"
    --- stderr
    error: notes is not a URL (relative URL without a base)
      example: portcullis protect https://mcp.example.com/mcp
    --- exit 2
    ");
    assert_snapshot!(shown(sandbox.run(&["protect", "https://a.example/mcp", "--name", "Git Hub"])), @r#"
    --- stderr
    error: "Git Hub" is not a server name: use 1 to 32 of a-z, 0-9 and "-", not beginning with "-"
      did you mean "git-hub"?
    --- exit 2
    "#);

    assert_snapshot!(shown(sandbox.run(&["unprotect", "notebok"])), @r#"
    --- stderr
    error: there is no server "notebok"
      did you mean "notebook"?
    --- exit 1
    "#);
    assert_snapshot!(shown(sandbox.run(&["unprotect", "notebook"])), @"
    ✓ notebook is no longer served; tokens for it are worth nothing now
    --- exit 0
    ");
    let events = sandbox.run(&["audit", "query", "--kind", "server.", "--json"]).out;
    assert_eq!(events.lines().count(), 3, "{events}");
    for kind in ["server.protected", "server.removed"] {
        assert!(events.contains(kind), "{kind}: {events}");
    }
    assert!(!events.contains("s3cret"), "the query of a URL may be a secret: {events}");
    assert_eq!(sample.stop(), 0);
}
