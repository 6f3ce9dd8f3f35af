//! `portcullis`: one binary that is the gateway and the commands around it.
//!
//! Exit codes: 0 done; 1 it was tried and did not work; 2 wrong flags or settings. Answers go to standard output,
//! everything else to standard error; `--json` answers are one JSON value a line.

mod abroad;
mod approvals;
mod args;
mod audit;
mod bridge;
mod connect;
mod connections;
mod failure;
mod house;
mod identity;
mod insight;
mod invocation;
mod key;
mod keys;
mod migrate;
mod offboard;
mod output;
mod policy;
mod protect;
mod sample;
mod server;
mod service_account;
mod settings;
mod shield;
mod show;
mod stop;
mod toolbox;
mod up;
mod user;

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use portcullis_gateway::insight::Wanted;

use crate::{
    args::{Cli, Command, ConfigCommand, Up},
    failure::{Failure, Result},
    settings::Settings,
};

/// A call makes many small allocations on one thread and frees them on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long work on threads may take when a command is done.
const LAST: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    // Before anything else: the launcher of a server has nothing of ours about it.
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(portcullis_sandbox::WORD) {
        return ExitCode::from(portcullis_sandbox::launch(&words.collect::<Vec<_>>()));
    }
    shield::raise();
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure);
            ExitCode::from(failure.code)
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the runtime cannot be started: {error}")))?;
    let ended = runtime.block_on(dispatch(cli));
    // A name that is being looked up, or a read that never returns, must not keep a command that is done.
    runtime.shutdown_timeout(LAST);
    ended
}

async fn dispatch(cli: Cli) -> Result<()> {
    let Some(command) = cli.command else {
        return up::run(&cli.up, &cli.common, &Settings::load(&cli.common, &cli.up)?).await;
    };
    if cli.up.listen.is_some() || cli.up.operations.is_some() || cli.up.no_sample {
        return Err(Failure::usage("flags of `up` stand before another command")
            .help("write them after the command they belong to"));
    }
    let none = Up::default();
    match command {
        Command::Up(args) => up::run(&args, &cli.common, &Settings::load(&cli.common, &args)?).await,
        Command::Bridge(args) => bridge::run(&args).await,
        Command::Sample { listen } => sample::run(listen).await,
        Command::Config(ConfigCommand::Show { defaults: true, .. }) => {
            show::defaults();
            Ok(())
        }
        Command::Config(command) => {
            show::run(&command, &Settings::load(&cli.common, &none)?);
            Ok(())
        }
        Command::Protect(args) => protect::protect(&args, &cli.common, &Settings::load(&cli.common, &none)?).await,
        Command::Unprotect { name } => protect::unprotect(&name, &Settings::load(&cli.common, &none)?).await,
        Command::Server(command) => server::run(&command, &Settings::load(&cli.common, &none)?).await,
        Command::Toolbox(command) => toolbox::run(&command, &Settings::load(&cli.common, &none)?).await,
        Command::Connections(command) => connections::run(&command, &Settings::load(&cli.common, &none)?).await,
        Command::Connect(args) => connect::run(&args, &cli.common, &Settings::load(&cli.common, &none)?).await,
        Command::Policy(command) => policy::run(&command, &Settings::load(&cli.common, &none)?).await,
        Command::User(command) => user::run(&command, &Settings::load(&cli.common, &none)?).await,
        Command::Identity(command) => identity::run(&command, &Settings::load(&cli.common, &none)?).await,
        Command::Offboard(args) => offboard::run(&args, &Settings::load(&cli.common, &none)?).await,
        Command::Approvals(command) => approvals::run(&command, &Settings::load(&cli.common, &none)?).await,
        Command::ServiceAccount(command) => {
            Box::pin(service_account::run(&command, &Settings::load(&cli.common, &none)?)).await
        }
        Command::Key(command) => key::run(&command, &Settings::load(&cli.common, &none)?).await,
        Command::Keys(command) => keys::run(&command, &Settings::load(&cli.common, &none)?).await,
        Command::Audit(command) => audit::run(&command, &Settings::load(&cli.common, &none)?).await,
        Command::Insight { range, from, to, json } => {
            let wanted = Wanted { range, from: from.unwrap_or_default(), to: to.unwrap_or_default() };
            insight::run(&wanted, json, &Settings::load(&cli.common, &none)?).await
        }
        Command::Migrate { check, json } => migrate::run(check, json, &Settings::load(&cli.common, &none)?).await,
    }
}
