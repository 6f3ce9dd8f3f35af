//! Commands about servers and the accounts that people have there.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// List the servers, and how the gateway proves on whose behalf it calls each
    ///
    /// Those of the settings file and those that `protect` put into the database. Entries that cannot be used, and
    /// choices that deserve a thought, are told beside them.
    List {
        /// Answer in JSON, one server a line
        #[arg(long)]
        json: bool,
    },
    /// Look at one server step by step, as if somebody were about to connect
    ///
    /// Shows each request, each answer and each rule that was checked, with what to do where one is not kept. Nobody
    /// is registered, nobody is signed in, and nothing secret is shown. Exit code 1 when something does not work.
    #[command(after_help = "\
Examples:
  portcullis server check tickets
  portcullis server check tickets --json | jq 'select(.checks[].state == \"bad\")'")]
    Check {
        /// Its name, as in /mcp/NAME
        name: String,
        /// Answer in JSON, one step a line
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum ToolboxCommand {
    /// List the endpoints over several servers
    ///
    /// Those of the settings file, and `all`, which has everything that its caller may use.
    List {
        /// Answer in JSON, one toolbox a line
        #[arg(long)]
        json: bool,
    },
    /// Show what a toolbox takes of each server, and what its list costs a model that reads it
    ///
    /// Costs are estimates, by the tools that somebody last saw; searching them instead is `search: on` in the settings.
    #[command(after_help = "Examples:\n  portcullis toolbox show support\n  portcullis toolbox show all --json")]
    Show {
        /// Its name, as in /mcp/NAME
        name: String,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum ConnectionsCommand {
    /// List who is connected where, with which account, and whether it works
    #[command(after_help = "\
Examples:
  portcullis connections list
  portcullis connections list --server tickets
  portcullis connections list --person ana --json")]
    List {
        /// Only at this server
        #[arg(long, value_name = "SERVER")]
        server: Option<String>,
        /// Only those of this person, by account name
        #[arg(long, value_name = "PERSON")]
        person: Option<String>,
        /// Answer in JSON, one connection a line
        #[arg(long)]
        json: bool,
    },
    /// Show one connection: state, account, scopes, last use; never what is secret
    #[command(after_help = "\
Examples:
  portcullis connections show tickets --person ana
  portcullis connections show metrics --shared")]
    Show {
        /// The server, by its name in /mcp/NAME
        server: String,
        #[command(flatten)]
        whose: Whose,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// End a connection, here and where it was issued
    ///
    /// It is removed first, so that nothing can use it any more; then the authorization server is asked to take its
    /// tokens back. Exit code 1 when it did not.
    #[command(after_help = "\
Examples:
  portcullis connections disconnect tickets --person ana
  portcullis connections disconnect metrics --shared
  portcullis connections disconnect tickets --everybody")]
    Disconnect {
        /// The server, by its name in /mcp/NAME
        server: String,
        #[command(flatten)]
        whose: Whose,
        /// All connections at this server
        #[arg(long, conflicts_with_all = ["person", "shared"])]
        everybody: bool,
        /// Answer in JSON, one connection a line
        #[arg(long)]
        json: bool,
    },
}

/// Whose connection.
#[derive(Args, Clone, Debug)]
pub struct Whose {
    /// That of this person, by account name
    #[arg(long, value_name = "PERSON", conflicts_with = "shared")]
    pub person: Option<String>,
    /// The one that everybody uses
    #[arg(long)]
    pub shared: bool,
}
