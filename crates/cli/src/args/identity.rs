//! Commands about people and the providers that vouch for them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum Identity {
    /// Try the providers: discovery, issuer, keys, redirect URI, claims, clock
    ///
    /// Every step of a sign-in that needs no person is done once, and each result says what was expected and what came.
    /// Exit code 1 when something would keep people from signing in. Nothing is changed, here or at the provider.
    #[command(after_help = "\
Examples:
  portcullis identity check                 all providers of the settings
  portcullis identity check company         one of them, by its id
  portcullis identity check --json | jq 'select(.state == \"bad\")'")]
    Check {
        /// The id of one provider [default: all]
        provider: Option<String>,
        /// Answer in JSON, one check a line
        #[arg(long)]
        json: bool,
    },
    /// List the providers with what has to be registered there
    #[command(after_help = "Example:\n  portcullis identity list")]
    List {
        /// Answer in JSON, one provider a line
        #[arg(long)]
        json: bool,
    },
    /// List the groups that people have and that rules, roles and servers name
    ///
    /// A group that is named and that nobody has is stale: a typing mistake, or a group that was renamed at the provider.
    #[command(after_help = "\
Examples:
  portcullis identity groups
  portcullis identity groups --stale        exit code 1 when there is one")]
    Groups {
        /// Only those that are named and that nobody has
        #[arg(long)]
        stale: bool,
        /// Answer in JSON, one group a line
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args, Debug)]
pub struct Offboard {
    /// The person: account name, e-mail address or identifier
    #[arg(required_unless_present = "verify")]
    pub person: Option<String>,
    /// Do not ask
    #[arg(long, conflicts_with = "verify")]
    pub yes: bool,
    /// Write the signed report to this file, too
    #[arg(long, value_name = "FILE", conflicts_with = "verify")]
    pub report: Option<PathBuf>,
    /// Check a report instead: that this gateway wrote it and that nothing in it was changed
    #[arg(long, value_name = "FILE", conflicts_with = "person")]
    pub verify: Option<PathBuf>,
    /// The public key to check it with [default: that of this data directory]
    #[arg(long, value_name = "FILE", requires = "verify")]
    pub key: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum User {
    /// Make an account
    #[command(after_help = "\
Examples:
  printf '%s' \"$PASSWORD\" | portcullis user add ana --admin --password-stdin
  portcullis user add ben --group support --group sales --password-stdin < password.txt")]
    Add {
        /// The name to sign in with
        name: String,
        /// May administer the gateway
        #[arg(long)]
        admin: bool,
        /// Member of this group; may be repeated
        #[arg(long, value_name = "GROUP")]
        group: Vec<String>,
        /// Read the password from standard input
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// List the people, with where they sign in
    List {
        /// Answer in JSON, one account a line
        #[arg(long)]
        json: bool,
    },
    /// Switch an account off: its sessions and the access of its clients end at once
    ///
    /// `portcullis offboard` does more: it also ends what is kept at providers and writes a signed report.
    Disable {
        /// The name
        name: String,
    },
    /// Let a disabled account in again; what was ended stays ended
    Enable {
        /// The name
        name: String,
    },
    /// Put a person into groups of this gateway, or take them out
    ///
    /// Groups that come from a provider or by SCIM are changed there.
    #[command(after_help = "\
Examples:
  portcullis user group ana --add platform
  portcullis user group ana --add support --remove sales")]
    Group {
        /// The name
        name: String,
        /// Into this group; may be repeated
        #[arg(long, value_name = "GROUP", required_unless_present = "remove")]
        add: Vec<String>,
        /// Out of this group; may be repeated
        #[arg(long, value_name = "GROUP")]
        remove: Vec<String>,
    },
    /// Make a person an administrator, or no longer
    #[command(after_help = "Examples:\n  portcullis user admin ana on\n  portcullis user admin ana off")]
    Admin {
        /// The name
        name: String,
        /// Administrator or not
        #[arg(value_enum)]
        state: OnOff,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    On,
    Off,
}
