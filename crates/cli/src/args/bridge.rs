//! Flags of `portcullis bridge`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
#[command(after_help = "\
In the settings of a client that starts commands (most have mcpServers):
  {
    \"mcpServers\": {
      \"everything\": {
        \"command\": \"portcullis\",
        \"args\": [\"bridge\", \"https://mcp.example.com/mcp/everything\"]
      }
    }
  }
`portcullis connect CLIENT` writes this entry where it is needed.

Examples:
  portcullis bridge https://mcp.example.com/mcp/everything --sign-in     sign in before the client is started
  portcullis bridge https://mcp.example.com/mcp/everything --no-browser  print the page instead of opening it
  portcullis bridge https://mcp.example.com/mcp/everything --key-file ~/everything.key
  portcullis bridge https://mcp.example.com/mcp/everything --sign-out    give the sign-in back and forget it

An access key instead of a sign-in is taken from PORTCULLIS_ACCESS_KEY or --key-file, never from the command line.
Messages for people go to standard error.")]
pub struct Bridge {
    /// URL of the MCP endpoint
    pub url: String,
    /// Sign in if that is needed, and end
    #[arg(long, conflicts_with = "sign_out")]
    pub sign_in: bool,
    /// Give the sign-in back, forget it, and end
    #[arg(long)]
    pub sign_out: bool,
    /// Print the sign-in page's address instead of opening a browser
    #[arg(long)]
    pub no_browser: bool,
    /// Keep the sign-in in a file even if there is a keyring
    #[arg(long)]
    pub no_keyring: bool,
    /// File with an access key, which takes the place of a sign-in
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The authorization server to sign in at [default: the one on the server's own site that it names]
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// Who the bridge is there: a registered public client, or the https address of its metadata document [default: it
    /// registers itself]
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// Trust the certificate authorities in this file too (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}
