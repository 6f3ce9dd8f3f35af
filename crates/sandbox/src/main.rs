//! The launcher and nothing else, for the tests of this crate. In use, the gateway's own binary is the launcher.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(2).collect();
    ExitCode::from(portcullis_sandbox::launch(&arguments))
}
