//! Commands about programs that call for themselves.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum Approvals {
    /// List the calls that wait
    List {
        /// Answer in JSON, one call a line
        #[arg(long)]
        json: bool,
    },
    /// Show one of them with its arguments
    Show {
        /// Its identifier
        id: String,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum ServiceAccount {
    /// Make a service account
    ///
    /// It gets tokens by client credentials: with a key of its own (--jwks or --jwks-uri, private_key_jwt), or with a
    /// secret that is shown once. It has groups like a person, and an owner who answers for it.
    #[command(after_help = "\
Examples:
  portcullis service-account add deploy --owner ana --group platform --jwks deploy.jwks.json
  portcullis service-account add nightly --owner ana --jwks-uri https://ci.example.com/jwks.json
  portcullis service-account add legacy --owner ben        prints a secret, once")]
    Add {
        /// Its name, as an account has one
        name: String,
        /// The person who answers for it, by account name
        #[arg(long, value_name = "PERSON")]
        owner: String,
        /// Member of this group; may be repeated
        #[arg(long, value_name = "GROUP")]
        group: Vec<String>,
        #[command(flatten)]
        proof: Proof,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// List the service accounts
    List {
        /// Answer in JSON, one account a line
        #[arg(long)]
        json: bool,
    },
    /// Replace its key or secret; tokens made with the old one end at once
    #[command(after_help = "\
Examples:
  portcullis service-account rotate legacy                 prints a new secret, once
  portcullis service-account rotate deploy --jwks new.jwks.json")]
    Rotate {
        /// Its name
        name: String,
        #[command(flatten)]
        proof: Proof,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Switch it off: its tokens end at once
    Disable {
        /// Its name
        name: String,
    },
}

/// How a service account proves who it is.
#[derive(Args, Debug)]
pub struct Proof {
    /// Its public keys, as a JWK set in this file
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
    pub jwks: Option<PathBuf>,
    /// Its public keys, as a JWK set at this https URL
    #[arg(long, value_name = "URL")]
    pub jwks_uri: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make an access key for one server, for a client that cannot do OAuth
    ///
    /// The key is shown once. It is good for one endpoint until its last day, and wherever it is, whoever has it is the
    /// person: prefer clients that can sign in. Needs `access_keys: { enabled: true }` in the settings.
    #[command(after_help = "\
Examples:
  portcullis key add --person ana --server everything --name laptop --days 30
  portcullis key add --person ana --server everything --name reader --scope mcp:read --days 7")]
    Add {
        /// Whose key, by account name
        #[arg(long, value_name = "PERSON")]
        person: String,
        /// The server, by its name in /mcp/NAME
        #[arg(long, value_name = "SERVER")]
        server: String,
        /// What it may do: mcp:read, mcp:call; may be repeated [default: both]
        #[arg(long, value_name = "SCOPE")]
        scope: Vec<String>,
        /// For how many days [default: as long as the settings allow]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=366))]
        days: Option<u16>,
        /// What to call it
        #[arg(long)]
        name: String,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// List the access keys; none of them can be shown again
    List {
        /// Only those of this person
        #[arg(long, value_name = "PERSON")]
        person: Option<String>,
        /// Answer in JSON, one key a line
        #[arg(long)]
        json: bool,
    },
    /// End an access key at once
    #[command(after_help = "Example:\n  portcullis key revoke grt_8sKq2mBv0cXwLr5tY7uZ1A")]
    Revoke {
        /// Its identifier, as `key list` shows it
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List the data keys, how much each has sealed, and the root keys that open them
    List {
        /// Answer in JSON, one key a line
        #[arg(long)]
        json: bool,
    },
    /// Add a data key, which seals from a minute later on; or, with --root-key, another root key
    ///
    /// Works while gateways run: they learn it from the database, the older keys go on opening, and what is in the database
    /// is sealed again in the background. `keys retire` ends the overlap.
    #[command(after_help = "\
Examples:
  portcullis keys rotate
  portcullis keys rotate --root-key file:/etc/portcullis/new-root.key
  portcullis keys rotate --root-key env:NEW_ROOT_KEY")]
    Rotate {
        /// The new root key: file:PATH or env:NAME, 32 bytes as base64
        #[arg(long, value_name = "REF")]
        root_key: Option<String>,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// End the overlap: older data keys, or one root key, open nothing any more
    #[command(after_help = "\
Examples:
  portcullis keys retire                          a week after `keys rotate`
  portcullis keys retire --now                    at once, after a theft: clients open new sessions
  portcullis keys retire --root-key 3f9c0a71be24  when every node runs with the new one")]
    Retire {
        /// The root key to retire, by its name in `keys list`
        #[arg(long, value_name = "NAME", conflicts_with = "now")]
        root_key: Option<String>,
        /// Do not wait until what clients carry has run out
        #[arg(long)]
        now: bool,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}
