//! `portcullis policy`: rules tried, explained and begun.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Try the rules on cases in files: what is given, and what is expected
    ///
    /// Exit code 1 when something is not as expected, 2 when a file cannot be read; so that it can stand in a build.
    #[command(after_help = "\
Examples:
  portcullis policy test policy/cases.yaml                       the rules of the settings
  portcullis policy test cases.yaml --rules policy/refunds.yaml  rules of files, as a draft

A case:
  - name: small refunds ask finance
    given: { groups: [support], server: stripe, tool: create_refund, classes: [financial], arguments: { amount: 500 } }
    expect: { effect: ask, rule: refunds-need-finance }")]
    Test {
        /// Files of cases
        #[arg(required = true, value_name = "FILE")]
        cases: Vec<PathBuf>,
        /// Rules from this file instead of those of the settings; may be repeated
        #[arg(long, value_name = "FILE")]
        rules: Vec<PathBuf>,
        /// Answer in JSON, one case a line
        #[arg(long)]
        json: bool,
    },
    /// Hold the rules against each other and against the tools that servers were seen to have
    ///
    /// A fault cannot be meant like that: exit code 1. A caution may be. What nobody listed yet is not checked.
    #[command(after_help = "\
Examples:
  portcullis policy check                               the rules of the settings
  portcullis policy check --rules policy/refunds.yaml   rules of files, as a draft")]
    Check {
        /// Rules from this file instead of those of the settings; may be repeated
        #[arg(long, value_name = "FILE")]
        rules: Vec<PathBuf>,
        /// Answer in JSON, one finding a line
        #[arg(long)]
        json: bool,
    },
    /// Say what would be decided about one call, by which rule, and what every other one said
    #[command(after_help = "\
Examples:
  portcullis policy explain stripe create_refund --group support --class financial --arguments '{\"amount\": 500}'
  portcullis policy explain stripe list_charges --person ana --class read --rules draft.yaml")]
    Explain(Box<Explain>),
    /// Say what is in force: rules, access lists and rights that end, with where they come from
    ///
    /// For a person, tool or client: the rules that can concern them, and what is decided.
    #[command(after_help = "\
Examples:
  portcullis policy show
  portcullis policy show --person ana
  portcullis policy show --person ana --tool stripe/create_refund --client https://claude.ai/oauth/client.json")]
    Show(Box<Show>),
    /// Judge recorded calls by a draft: what would be denied, asked about or allowed that was not
    ///
    /// The draft takes the place of the rules of the settings; access lists and groups are those of now. Calls of which the
    /// record does not tell enough are counted and not guessed at. Nothing is changed.
    #[command(after_help = "\
Examples:
  portcullis policy replay --policy draft.yaml
  portcullis policy replay --policy draft.yaml --since 30d --server stripe
  portcullis policy replay --policy draft.yaml --fail-on allow    exit code 1 if it opens anything")]
    Replay(Box<Replay>),
    /// Print the JSON Schema of rule files or of files of cases, for editors
    #[command(after_help = "Example:\n  portcullis policy schema rules > rules.schema.json")]
    Schema {
        /// Of which files
        #[arg(value_enum)]
        of: SchemaOf,
    },
    /// Begin rules from a policy file of Intercept; what cannot be carried over stands in them as comments
    #[command(after_help = "Example:\n  portcullis policy import stripe.yaml --server stripe > policy/stripe.yaml")]
    Import {
        /// The policy file
        file: PathBuf,
        /// The server whose tools it speaks of
        #[arg(long, value_name = "NAME")]
        server: String,
    },
}

/// One call, as `policy explain` is told of it.
#[derive(Args, Debug)]
pub struct Explain {
    /// The server
    pub server: String,
    /// The tool; without one, the listing of tools
    pub tool: Option<String>,
    /// The name that the caller signs in with
    #[arg(long, default_value = "alice")]
    pub person: String,
    /// A group of the caller; may be repeated
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// A role of the caller; may be repeated [default: member]
    #[arg(long, value_name = "ROLE")]
    pub role: Vec<String>,
    /// The client
    #[arg(long, value_name = "ID")]
    pub client: Option<String>,
    /// The toolbox that the call comes through
    #[arg(long, value_name = "TOOLBOX")]
    pub through: Option<String>,
    /// A class of the tool; may be repeated [default: unknown]
    #[arg(long, value_name = "CLASS")]
    pub class: Vec<String>,
    /// A label of the session; may be repeated
    #[arg(long, value_name = "LABEL")]
    pub session: Vec<String>,
    /// The arguments, as JSON
    #[arg(long, value_name = "JSON")]
    pub arguments: Option<String>,
    /// When it happens, such as 2026-11-23T10:00:00Z [default: a Monday at noon]
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
    /// Rules from this file instead of those of the settings; may be repeated
    #[arg(long, value_name = "FILE")]
    pub rules: Vec<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// What `policy show` is narrowed to.
#[derive(Args, Debug)]
pub struct Show {
    /// Account name of a person or service account
    #[arg(long, value_name = "NAME")]
    pub person: Option<String>,
    /// A tool, or all of a server
    #[arg(long, value_name = "SERVER/TOOL")]
    pub tool: Option<String>,
    /// Identifier of a client
    #[arg(long, value_name = "ID")]
    pub client: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// Which calls `policy replay` judges, by what.
#[derive(Args, Debug)]
pub struct Replay {
    /// The draft: a file of rules; may be repeated
    #[arg(long, required = true, value_name = "FILE")]
    pub policy: Vec<PathBuf>,
    /// Not older: a moment (2026-11-23T04:00:00Z) or how long ago (15m, 24h, 7d)
    #[arg(long, value_name = "WHEN", default_value = "7d")]
    pub since: String,
    /// Older than this, in the same form [default: now]
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// Only calls of this person, by account name or identifier
    #[arg(long, value_name = "NAME")]
    pub person: Option<String>,
    /// Only calls at this server
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// Exit code 1 if a call comes out like this that did not before; may be repeated
    #[arg(long, value_enum, value_name = "OUTCOME")]
    pub fail_on: Vec<FailOn>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// What must not come of a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum FailOn {
    /// Something is allowed
    Allow,
    /// Something asks for a human
    Ask,
    /// Something asks for a sign-in
    StepUp,
    /// Something is denied
    Deny,
    /// Anything changes
    Any,
}

/// Which files a schema is of.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SchemaOf {
    /// Rules
    Rules,
    /// Cases
    Cases,
}
