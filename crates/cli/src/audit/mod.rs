//! `portcullis audit`: what happened, and the proof that nothing of it is missing.

mod export;
mod query;
mod reindex;
mod show;
mod sinks;
mod verify;

pub use self::query::moment;
use crate::{args::Audit, failure::Result, settings::Settings};

/// Runs the command.
pub async fn run(command: &Audit, settings: &Settings) -> Result<()> {
    match command {
        Audit::Query(query) => query::find(query, settings).await,
        Audit::Show { call, arguments, json } => show::tell(call, *arguments, *json, settings).await,
        Audit::Export(export) => export::write(export, settings).await,
        Audit::Reindex { node } => reindex::again(node.as_deref(), settings).await,
        Audit::Sinks { json } => sinks::tell(*json, settings),
        Audit::Verify { paths, keys, witness, json } => {
            verify::Proof::of(keys.as_deref(), witness, settings)?.of_all(paths, *json)
        }
    }
}
