//! `portcullis audit reindex`: the index, made anew from the journals.

use std::{fs, io};

use portcullis_base::{Clock, printable};
use portcullis_gateway::journal::Indexer;

use crate::{
    failure::{Failure, Result},
    house::House,
    output::{line, note, progress},
    settings::Settings,
};

/// Forgets what is known of the journals, and feeds them again. A running gateway feeds its own along: whoever finds the
/// cursor elsewhere goes on from there.
pub(super) async fn again(node: Option<&str>, settings: &Settings) -> Result<()> {
    let house = House::existing(settings).await?;
    let dir = house.config.data.join("journal");
    let unreadable = |error: io::Error| Failure::new(format!("{} cannot be read: {error}", dir.display()));
    let mut nodes = Vec::new();
    for entry in fs::read_dir(&dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.path().is_dir() {
            nodes.extend(entry.file_name().into_string().ok());
        }
    }
    nodes.sort();
    if let Some(wanted) = node {
        nodes.retain(|node| node == wanted);
        if nodes.is_empty() {
            return Err(Failure::new(format!(
                "there is no journal of \"{}\" in {}",
                printable(wanted, 60),
                dir.display()
            )));
        }
    }
    for node in nodes {
        house.store.forget_audit(&node, house.clock.now()).await.map_err(|error| house.failed(error))?;
        let mut indexer = Indexer::new(house.store.clone(), &dir, &node);
        let (mut rows, mut seq) = (0, 0);
        let skipped = loop {
            let run = indexer.run_once(None).await.map_err(|error| Failure::new(error.to_string()))?;
            if run.seq == seq {
                break run.skipped;
            }
            (rows, seq) = (rows + run.rows, run.seq);
            progress(format_args!("{node}: up to number {seq}"));
        };
        progress("");
        line(format_args!("{node}: indexed up to number {seq}, {rows} events by this command"));
        if skipped > 0 {
            note(format_args!(
                "note: {skipped} lines cannot be read and are not found; `portcullis audit verify` says which"
            ));
        }
    }
    Ok(())
}
