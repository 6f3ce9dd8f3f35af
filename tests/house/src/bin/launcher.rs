//! What starts servers that are commands, for gateways that run inside a test: there, the binary is the test.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(2).collect();
    ExitCode::from(portcullis_sandbox::launch(&arguments))
}
