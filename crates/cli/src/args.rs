//! The command line: names, flags and the help that teaches them.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::{
    bridge::Bridge,
    identity::{Identity, Offboard, OnOff, User},
    machines::{Approvals, Key, Keys, Proof, ServiceAccount},
    policy::{Explain, FailOn, PolicyCommand, Replay, SchemaOf, Show},
    upstreams::{ConnectionsCommand, ServerCommand, ToolboxCommand, Whose},
};

mod bridge;
mod identity;
mod machines;
mod policy;
mod upstreams;

/// One URL for your MCP clients, with sign-in, rules and an audit trail in front of every server.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    max_term_width = 100,
    after_help = "\
Start:
  portcullis up                                  gateway with a sample server, ready to sign in
  portcullis connect claude-code --write         point a client at it, in the client's own settings
  portcullis protect https://mcp.example.com/mcp put a server behind the gateway

Exit codes: 0 done, 1 it was tried and did not work, 2 wrong flags or settings.
Settings: portcullis.yaml in the working directory, or --config; `portcullis config show --origin` explains them.
Without a command, `up` is run."
)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub up: Up,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that every command takes.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// Settings file of the gateway [default: portcullis.yaml in the working directory, if there is one]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PORTCULLIS_CONFIG",
        hide_env_values = true,
        display_order = 900
    )]
    pub config: Option<PathBuf>,
    /// Directory of its keys, database and journal [default: ./data]
    #[arg(long, global = true, value_name = "DIR", display_order = 901)]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the gateway; Ctrl-C stops it
    ///
    /// The first start makes keys and a database in the data directory, prints a one-time link for the first
    /// administrator, and puts a sample server behind the gateway at /mcp/sample.
    #[command(after_help = "\
Examples:
  portcullis up
  portcullis up --listen 127.0.0.1:9000 --data /var/lib/portcullis
  portcullis up --config /etc/portcullis/portcullis.yaml --no-sample")]
    Up(Up),
    /// Put an MCP server behind the gateway and print its new URL
    ///
    /// The server must be running: it is asked whether it speaks MCP. If so, a running gateway serves it at once as
    /// /mcp/NAME, and clients need a sign-in to reach it there. Behind `--` stands a command instead of a URL: the gateway
    /// runs it itself, walled off, without a shell, and with nothing in its environment. With --openapi it is an API: each
    /// operation of the document becomes a tool, and the key that the document asks for is each person's own.
    ///
    /// A server that asks for OAuth is noticed: its authorization server is looked for, and each person connects once,
    /// as themselves. A server that takes an API key needs to be told so: --api-key-from for one key for everybody,
    /// --credential header for a key of each person's own. For everything else there is the settings file.
    #[command(after_help = "\
Examples:
  portcullis protect https://mcp.example.com/mcp
  portcullis protect http://127.0.0.1:3001/mcp --name everything
  portcullis protect https://tickets.internal/mcp --private --group support
  portcullis protect https://search.example.com/mcp --api-key-from env:SEARCH_KEY
  portcullis protect https://crm.example.com/mcp --credential header --header X-Api-Key
  portcullis protect --openapi shop.yaml
  portcullis protect --read /srv/documents --reach registry.npmjs.org -- npx -y @modelcontextprotocol/server-filesystem@2025.8.21 /srv/documents")]
    Protect(Box<Protect>),
    /// Take a server away from the gateway again
    #[command(after_help = "Example:\n  portcullis unprotect everything")]
    Unprotect {
        /// Its name, as in /mcp/NAME
        name: String,
    },
    /// List the servers behind the gateway, and find out why one does not work
    #[command(subcommand)]
    Server(ServerCommand),
    /// List the endpoints over several servers, and what one has and costs
    #[command(subcommand)]
    Toolbox(ToolboxCommand),
    /// See who is connected at which server, and end that
    #[command(subcommand)]
    Connections(ConnectionsCommand),
    /// Point an MCP client at the gateway: show or write the entry in its settings
    ///
    /// Without --write nothing is changed: what would be written is shown, and where. With it, comments, key order and
    /// line ends of the file stay as they are, and a backup is kept beside it.
    #[command(after_help = "\
Examples:
  portcullis connect claude-code                 show what would be written, and where
  portcullis connect claude-code --write
  portcullis connect vscode --server everything --scope project --write
  portcullis connect cursor --print              the entry and nothing else
  portcullis connect --list                      all clients")]
    Connect(Connect),
    /// Speak MCP on standard input and output, for clients that speak nothing else
    ///
    /// A client that can only start a command starts this one, and reaches the server at URL by it: the gateway, or any MCP
    /// server over Streamable HTTP. If the server wants to know who calls, the sign-in page opens in the browser, once; the
    /// sign-in is kept in the keyring, or in a file that only you can read, and shared by all bridges to the same URL.
    Bridge(Bridge),
    /// Try rules on cases, see why a call is decided as it is, and begin rules
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Add, list and change the people of this gateway
    #[command(subcommand)]
    User(User),
    /// Try the identity providers, and see which groups people and rules have
    #[command(subcommand)]
    Identity(Identity),
    /// End everything that a person had, with a signed report
    ///
    /// Browser sessions, clients and their tokens, access keys, consents, and what providers can take back: on every
    /// node, within a second. What could not be ended, such as a token at a provider that does not answer,
    /// stands in the report. Exit code 1 when something could not be ended, or when a report is not genuine.
    #[command(after_help = "\
Examples:
  portcullis offboard ana                            says what will end, and asks
  portcullis offboard ana@example.com --yes --report ana.json
  portcullis offboard --verify ana.json              is the report genuine?")]
    Offboard(Offboard),
    /// List and show calls that wait for people, who decide in a browser
    #[command(subcommand)]
    Approvals(Approvals),
    /// Add, list and change programs that call for themselves
    #[command(subcommand)]
    ServiceAccount(ServiceAccount),
    /// Add, list and end access keys, for clients that cannot do OAuth
    #[command(subcommand)]
    Key(Key),
    /// List, change and retire the keys that seal what the gateway keeps
    #[command(subcommand)]
    Keys(Keys),
    /// Run the sample MCP server alone, without a gateway in front of it
    #[command(after_help = "Example:\n  portcullis sample --listen 127.0.0.1:3001")]
    Sample {
        /// Address to listen on
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3001")]
        listen: SocketAddr,
    },
    /// Search the audit trail, and check that nothing in it was changed or lost
    #[command(subcommand)]
    Audit(Audit),
    /// See what goes on: calls, errors, who and what calls most, rights that nobody uses
    ///
    /// The numbers of the page /admin/insight, counted from the journals as they are indexed. All times are UTC.
    #[command(after_help = "\
Examples:
  portcullis insight
  portcullis insight --range 7d
  portcullis insight --from 2026-11-01 --to 2026-11-23 --json | jq .unused")]
    Insight {
        /// 24h, 7d or 30d
        #[arg(long, value_name = "TIME", default_value = "24h", conflicts_with_all = ["from", "to"])]
        range: String,
        /// First day instead, such as 2026-11-01
        #[arg(long, value_name = "DAY")]
        from: Option<String>,
        /// Last day [default: today]
        #[arg(long, value_name = "DAY")]
        to: Option<String>,
        /// Answer in JSON, as /api/v1/insight does
        #[arg(long)]
        json: bool,
    },
    /// Update the database for this release
    ///
    /// `up` does this by itself. A database of a newer release is refused.
    #[command(after_help = "\
Examples:
  portcullis migrate
  portcullis migrate --check     exit code 1 when there is something to do")]
    Migrate {
        /// Only say whether there is something to do
        #[arg(long)]
        check: bool,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the settings in force
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Args, Clone, Debug, Default)]
pub struct Up {
    /// Address for clients and browsers [default: 127.0.0.1:7878]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Address for health and metrics, without sign-in [default: 127.0.0.1:7879]
    #[arg(long, value_name = "ADDR")]
    pub operations: Option<String>,
    /// Do not put the sample server behind the gateway
    #[arg(long)]
    pub no_sample: bool,
}

#[derive(Args, Debug)]
pub struct Protect {
    /// URL of the server's MCP endpoint (Streamable HTTP, or HTTP+SSE of 2024-11-05); with --openapi, where the API is
    /// [default: as the document says]
    #[arg(required_unless_present_any = ["command", "openapi"])]
    pub url: Option<String>,
    /// A file with an OpenAPI document (3.0 or 3.1, JSON or YAML): its operations become tools
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub openapi: Option<PathBuf>,
    /// A program that speaks MCP on its standard streams, and its arguments: the gateway runs it, once for each person
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["url", "private", "issuer", "header", "api_key_from"])]
    pub command: Vec<String>,
    /// The variable of its environment that each person's own key is given in, or an administrator's with --shared
    #[arg(long, value_name = "NAME", requires = "command", conflicts_with = "credential")]
    pub key_variable: Option<String>,
    /// Let the command reach all that this machine reaches; without this or --reach it reaches nobody
    #[arg(long, requires = "command", conflicts_with_all = ["reach", "reach_private"])]
    pub network: bool,
    /// A host that the command may reach, such as api.github.com, '*.npmjs.org' or db.example.com:5432; may be repeated
    #[arg(long, value_name = "HOST", requires = "command")]
    pub reach: Vec<String>,
    /// The same for a host on a network of your own; may be repeated
    #[arg(long, value_name = "HOST", requires = "command")]
    pub reach_private: Vec<String>,
    /// A file or directory that the command may read; may be repeated
    #[arg(long, value_name = "PATH", requires = "command")]
    pub read: Vec<PathBuf>,
    /// A file or directory that the command may also write; may be repeated
    #[arg(long, value_name = "PATH", requires = "command")]
    pub write: Vec<PathBuf>,
    /// Its name in /mcp/NAME [default: what the server calls itself]
    #[arg(long)]
    pub name: Option<String>,
    /// Allow a private address or plain http: the server is on a network of your own
    #[arg(long)]
    pub private: bool,
    /// Only members of this group may use it; may be repeated [default: everyone]
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// What they may do without a human being asked: write, egress, … or '*' for everything; may be repeated [default:
    /// reading only]
    #[arg(long, value_name = "CLASS")]
    pub allow: Vec<String>,
    /// A few words about it, for the people who use it
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// What it wants to see [default: found out by asking it]
    #[arg(long, value_enum, value_name = "KIND")]
    pub credential: Option<CredentialKind>,
    /// OAuth: the authorization server to expect, by its issuer [default: the one that the server names]
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// One API key for everybody, by reference: env:NAME or file:PATH, as the gateway will find it
    #[arg(long, value_name = "REF")]
    pub api_key_from: Option<String>,
    /// The header that an API key belongs into [default: Authorization, after "Bearer "]
    #[arg(long, value_name = "NAME")]
    pub header: Option<String>,
    /// One account or key for everybody, which an administrator connects
    #[arg(long)]
    pub shared: bool,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// What a server wants to see. The other kinds need more than a flag: they are set in the settings file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CredentialKind {
    /// Nothing until it answers 401, then OAuth
    Auto,
    /// Nothing
    None,
    /// A token of its authorization server, for each person or --shared
    Oauth,
    /// An API key in a header, which each person types, or an administrator with --shared
    Header,
}

impl CredentialKind {
    /// As the settings write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Oauth => "oauth",
            Self::Header => "header",
        }
    }
}

#[derive(Args, Debug)]
pub struct Connect {
    /// The client, such as claude-code, cursor or vscode; --list shows all
    #[arg(required_unless_present = "list")]
    pub client: Option<String>,
    /// Which server, by its name in /mcp/NAME; needed when there are several
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// Write the entry into the client's settings file
    #[arg(long, conflicts_with = "print")]
    pub write: bool,
    /// Print the entry and nothing else
    #[arg(long)]
    pub print: bool,
    /// Whose settings: your own, or those of the project in the working directory
    #[arg(long, value_enum, default_value_t = Scope::User)]
    pub scope: Scope,
    /// Use this file instead of the client's usual one
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// List all clients and their settings files
    #[arg(long, conflicts_with_all = ["client", "write", "print", "server", "file"])]
    pub list: bool,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    User,
    Project,
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Find events in the index, newest first
    #[command(after_help = "\
Examples:
  portcullis audit query --limit 20
  portcullis audit query --person ana --kind call. --since 1h
  portcullis audit query --outcome denied --json | jq .")]
    Query(Box<Query>),
    /// Tell the story of one call: decision, approvals, sign-in, process, end
    #[command(after_help = "\
Examples:
  portcullis audit show call_…
  portcullis audit show call_… --arguments     that somebody looked is recorded")]
    Show {
        /// Identifier of the call, as `audit query --json` shows it
        call: String,
        /// With arguments and results, as far as they were kept
        #[arg(long)]
        arguments: bool,
        /// The lines, in the order of time
        #[arg(long)]
        json: bool,
    },
    /// Write events to a file
    ///
    /// Without a filter, JSONL is every line of every journal of this data directory, checkpoints included, in its order: a
    /// copy that can be proved. With one, and as CSV, it is what the index finds, the newest first. That it was made, by whom
    /// and of what, is recorded before.
    #[command(after_help = "\
Examples:
  portcullis audit export --to audit.jsonl
  portcullis audit export --format csv --since 30d --person ana --to ana.csv")]
    Export(Box<Export>),
    /// Make the index anew from the journals
    ///
    /// Works while the gateway runs. Searches find less until it is done. What is no longer in a journal of this data
    /// directory is no longer found.
    #[command(after_help = "\
Examples:
  portcullis audit reindex
  portcullis audit reindex --node cli")]
    Reindex {
        /// Only the journal of this node
        #[arg(long)]
        node: Option<String>,
    },
    /// Tell how far the record has come on its way to `audit.sinks`
    ///
    /// From what the gateway of this data directory has written down: for each receiver and each journal the last line that
    /// was taken, how many wait, how many were refused for good, and since when and why nothing is taken.
    #[command(after_help = "\
Examples:
  portcullis audit sinks
  portcullis audit sinks --json | jq 'select(.waiting > 1000)'")]
    Sinks {
        /// Answer in JSON, one receiver and journal a line
        #[arg(long)]
        json: bool,
    },
    /// Check the journal: every line chained to the one before, every checkpoint signed
    ///
    /// Needs no running gateway and no database. Exit code 1 when something is changed, missing or out of order. An export
    /// can be checked if it is whole: JSONL without a filter. What a filter chose proves nothing by itself.
    #[command(after_help = "\
Examples:
  portcullis audit verify
  portcullis audit verify --data /var/lib/portcullis
  portcullis audit verify backup/journal/node
  portcullis audit verify audit.jsonl --keys backup/journal
  portcullis audit verify --witness /mnt/elsewhere/heads.jsonl")]
    Verify {
        /// Journals: directories of one node, a journal directory with several, or whole exports [default: those of --data]
        paths: Vec<PathBuf>,
        /// Where the public keys are, NODE.pub.json [default: beside the journal, and the journal directory of --data]
        #[arg(long, value_name = "FOLDER")]
        keys: Option<PathBuf>,
        /// Heads that a witness has noted: a file of them, or a folder of time stamps; the journal must go through each
        #[arg(long, value_name = "FILE")]
        witness: Vec<PathBuf>,
        /// Answer in JSON, one journal a line
        #[arg(long)]
        json: bool,
    },
}

/// Which events are meant: those that match everything that is given.
#[derive(Args, Clone, Debug, Default)]
pub struct Events {
    /// Account name or identifier of the person
    #[arg(long)]
    pub person: Option<String>,
    /// Identifier of the client
    #[arg(long)]
    pub client: Option<String>,
    /// Address that the request came from
    #[arg(long)]
    pub address: Option<String>,
    /// Name of the server
    #[arg(long)]
    pub server: Option<String>,
    /// Kind of event or its beginning: call.decided, token., signin.
    #[arg(long)]
    pub kind: Option<String>,
    /// success, failure, denied, timeout or unknown
    #[arg(long)]
    pub outcome: Option<String>,
    /// What the rules said: allow, ask, step_up or deny
    #[arg(long)]
    pub effect: Option<String>,
    /// Name of the rule that said it
    #[arg(long)]
    pub rule: Option<String>,
    /// MCP method, such as tools/call
    #[arg(long)]
    pub method: Option<String>,
    /// Name of the tool, prompt, resource or other object
    #[arg(long, visible_alias = "tool")]
    pub name: Option<String>,
    /// Identifier of one call
    #[arg(long)]
    pub call: Option<String>,
    /// Identifier of one request
    #[arg(long)]
    pub request: Option<String>,
    /// Identifier of one trace
    #[arg(long)]
    pub trace: Option<String>,
    /// Identifier of an approval
    #[arg(long)]
    pub approval: Option<String>,
    /// Identifier of a grant, or of one of its tokens
    #[arg(long)]
    pub grant: Option<String>,
    /// A part of the name of a person, client, server, tool or rule, in small or capital letters
    #[arg(long, value_name = "PART")]
    pub text: Option<String>,
    /// Not older: a moment (2026-11-23T04:00:00Z) or how long ago (15m, 24h, 7d)
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Older than this, in the same form
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
}

#[derive(Args, Debug)]
pub struct Query {
    #[command(flatten)]
    pub events: Events,
    /// How many at most [default: 50, with --json 100000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: Option<u32>,
    /// The lines as they stand in the journal
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Export {
    #[command(flatten)]
    pub events: Events,
    /// jsonl: lines as they stand in the journal; csv: a table
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub format: ExportFormat,
    /// The file that is made; it must not be there yet
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Jsonl,
    Csv,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every setting in force
    #[command(after_help = "\
Examples:
  portcullis config show
  portcullis config show --origin      and where each value came from
  portcullis config show --defaults    every key with its documentation")]
    Show {
        /// Say where each value came from
        #[arg(long)]
        origin: bool,
        /// Print the documented defaults instead
        #[arg(long, conflicts_with_all = ["origin", "json"])]
        defaults: bool,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The guides teach by example, so each of their commands must be one that is understood.
    #[test]
    fn commands_of_the_guides_are_understood() {
        for (name, least) in [("identity", 10), ("keys", 4), ("bridge", 5), ("policy", 4)] {
            let path = format!("{}/../../docs/guides/{name}.md", env!("CARGO_MANIFEST_DIR"));
            let guide = std::fs::read_to_string(path).expect("guide");
            let blocks = guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
            let lines = blocks.flat_map(str::lines).map(|line| line.split(" #").next().unwrap_or_default().trim());
            let mut seen = 0;
            for line in lines.filter(|line| line.starts_with("portcullis ")) {
                seen += 1;
                if let Err(error) = Cli::try_parse_from(line.split_whitespace()) {
                    panic!("{line}\n{error}");
                }
            }
            assert!(seen > least, "{name}: commands are not found any more");
            for words in guide.split("`portcullis ").skip(1).map(|rest| rest.split('`').next().unwrap_or_default()) {
                let command = <Cli as clap::CommandFactory>::command();
                let first = words.split(' ').next().unwrap_or_default();
                assert!(command.find_subcommand(first).is_some(), "portcullis {words}");
            }
        }
    }
}
