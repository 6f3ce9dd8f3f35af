//! Servers that are commands.

use insta::assert_snapshot;

use super::*;

#[test]
fn commands_are_read_as_written() {
    let text = r#"data: /var/lib/portcullis
servers:
  - name: tickets
    command: [/opt/tickets/server, --read-only, " a b", ""]
    read: [/opt/tickets]
    write: [/var/lib/tickets]
    directory: /opt/tickets/work
    env: { LOG_LEVEL: info, TICKETS_KEY: env:KEY }
    network: all
    sharing: session
    sandbox: strict
    limits: { memory: 512MiB, processes: 64, cpu_percent: 50, files: 512, file_size: 100MiB, concurrent: 3 }
  - name: small
    command: [uvx, small==1.2.3]
    network: [PyPI.org, "*.pythonhosted.org", { host: db.internal:5432, private: true }, "[::1]:80"]
    credential: { kind: env, name: SMALL_KEY, shared: true }
"#;
    let loaded =
        Config::load(&sources(text, &[("KEY", "canary")], &[])).unwrap_or_else(|problems| panic!("{problems}"));
    let [tickets, small] = loaded.config.servers.as_slice() else { panic!("two") };
    assert_eq!(
        tickets.place,
        Place::Command(["/opt/tickets/server", "--read-only", " a b", ""].map(str::to_owned).into())
    );
    let environment: Vec<_> =
        tickets.process.environment.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
    assert_eq!(environment, [("LOG_LEVEL", "info"), ("TICKETS_KEY", "canary")]);
    let expected = Process {
        environment: tickets.process.environment.clone(),
        key_variable: None,
        sharing: Sharing::Session,
        directory: Some("/opt/tickets/work".into()),
        read: vec!["/opt/tickets".into()],
        write: vec!["/var/lib/tickets".into()],
        network: Network::All,
        sandbox: Sandbox::Strict,
        limits: ProcessLimits { memory: 512 << 20, processes: 64, files: 512, file_size: 100 << 20, processors: 50 },
    };
    assert_eq!((&tickets.process, tickets.concurrent), (&expected, 3));
    assert_eq!((tickets.allow, tickets.credential.clone()), (Allow::LOCAL, Credential::None));
    assert!(!format!("{tickets:?}").contains("canary"));
    let network = small.process.network.clone();
    assert_eq!(network.to_string(), "pypi.org:443, *.pythonhosted.org:443, db.internal:5432, [::1]:80");
    let usual = Process { key_variable: Some("SMALL_KEY".into()), network, ..Process::default() };
    assert_eq!((&small.process, small.credential.holders()), (&usual, Some(Holders::Shared)));
    let usual = Process::default();
    assert_eq!((usual.network, usual.sandbox, usual.sharing), (Network::None, Sandbox::Standard, Sharing::Person));
}

// spec: T-88, T-89, TR-161
#[test]
fn what_a_command_must_not_have_is_refused_where_it_stands() {
    assert_snapshot!(problems(
        r#"data: /srv/portcullis
servers:
  - { name: line, command: npx -y server }
  - { name: none, command: [] }
  - { name: env, command: [x], env: { LD_PRELOAD: x, API_KEY: plain } }
  - { name: each, command: [x], sharing: shared, credential: { kind: env, name: KEY } }
  - { name: paths, command: [x], read: [/proc/1, /srv/../etc, /], directory: /opt/x }
  - { name: data, command: [x], read: [/srv, /srv/portcullis/servers], write: [/srv/documents, /srv/portcullis] }
  - { name: header, command: [x], credential: header }
  - { name: word, command: [x], network: nune }
  - { name: text, command: [x], network: api.example.com }
  - { name: empty, command: [x], network: [] }
  - { name: twice, command: [x], network: [api.example.com, "API.example.com:443", 7] }
  - { name: odd, command: [x], network: [https://api.example.com/v1, "*", "*.com", 10.0.0.7:5432, { hosts: db.internal }] }
  - { name: key, command: [x], network: [{ host: db.internal, private: true }], env: { https_proxy: "http://x" } }
  - { name: both, command: [x], url: "https://mcp.example.com" }
  - { name: url, url: "https://mcp.example.com/mcp", read: [/srv/documents] }
"#
    ), @r#"
    portcullis.yaml:3: servers[0].command: expected a list of program and arguments, found one text: nothing here goes through a shell
        example: command: [npx, -y, server]
    portcullis.yaml:4: servers[1].command: names no program
        example: command: [npx, -y, "@modelcontextprotocol/server-everything@2025.9.25"]
    portcullis.yaml:5: servers[2].env.LD_PRELOAD: "LD_PRELOAD" is refused: by it a program is made to run other code, or the gateway sets it itself
        take it out; what a program needs can often be said as an argument in `command`
    portcullis.yaml:5: servers[2].env.API_KEY: a secret must not stand in the file itself
        write API_KEY: env:NAME to take it from an environment variable, or file:PATH to take it from a file
        example: API_KEY: env:SERVER_KEY
    portcullis.yaml:6: servers[3].sharing: one process for everybody cannot have each person's own key
        take it out, or give everybody one key: credential: { kind: env, name: NAME, shared: true }
    portcullis.yaml:7: servers[4].read[0]: /proc/1 is closed to servers
        name the directories that this one needs
    portcullis.yaml:7: servers[4].read[1]: goes upwards (..)
        write the path as it is
    portcullis.yaml:7: servers[4].read[2]: / is closed to servers
        name the directories that this one needs
    portcullis.yaml:7: servers[4].directory: is nothing that this server may read
        name it under `read` or `write` too
    portcullis.yaml:8: servers[5].read[0]: leads to the gateway's own data directory, which no server may see
        name the directories that this one needs, or move the gateway's: data: /var/lib/portcullis
    portcullis.yaml:8: servers[5].read[1]: leads to the gateway's own data directory, which no server may see
        name the directories that this one needs, or move the gateway's: data: /var/lib/portcullis
    portcullis.yaml:8: servers[5].write[1]: leads to the gateway's own data directory, which no server may see
        name the directories that this one needs, or move the gateway's: data: /var/lib/portcullis
    portcullis.yaml:9: servers[6].credential: a process is shown no headers: it takes a key from its environment, or nothing
        example: credential: { kind: env, name: GITHUB_TOKEN }
    portcullis.yaml:10: servers[7].network: expected none, all or a list of hosts, found "nune"
        did you mean "none"?
    portcullis.yaml:11: servers[8].network: expected none, all or a list of hosts, found "api.example.com"
        one host is a list too: network: ["api.example.com"]
    portcullis.yaml:12: servers[9].network: names no host
        example: network: [api.github.com, "*.npmjs.org", db.example.com:5432]; nobody at all is network: none
    portcullis.yaml:13: servers[10].network[1]: api.example.com:443 is named twice
        keep one of the two
    portcullis.yaml:13: servers[10].network[2]: expected a group of keys, found the number 7
    portcullis.yaml:13: servers[10].network[2].host: is missing: expected a host, with a port if that is not 443
        example: host: db.internal:5432
    portcullis.yaml:14: servers[11].network[0]: "https://api.example.com/v1" is a URL
        write the host alone: api.example.com
    portcullis.yaml:14: servers[11].network[1]: "*" is every host
        network: all, if that is meant
    portcullis.yaml:14: servers[11].network[2]: "*.com" is every host of a whole domain of the first level
        name one of them: "*.example.com"
    portcullis.yaml:14: servers[11].network[3]: 10.0.0.7:5432 is on a private network
        if that is meant: { host: "10.0.0.7:5432", private: true }
    portcullis.yaml:14: servers[11].network[4].host: is missing: expected a host, with a port if that is not 443
        example: host: db.internal:5432
    portcullis.yaml:14: servers[11].network[4].hosts: unknown key; did you mean "host"?
        known here: host, private
    portcullis.yaml:15: servers[12].env: https_proxy is set by the gateway itself where `network` is a list of hosts
        take it out, or the list: a proxy of your own goes with network: all
    portcullis.yaml:16: servers[13].command: stands beside `url`: a server is at one place
        keep one of the two
    portcullis.yaml:17: servers[14].read: unknown key
        known here: name, private, url, command, openapi, access, timeout, description, authorization, credential, headers, request_headers, tls, limits, tools, speaks, allow, audit, risk
    "#);
}
