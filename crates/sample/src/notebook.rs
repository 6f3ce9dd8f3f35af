//! The notebook: notes by number, a bounded count of them, and the news of their changes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use portcullis_base::Timestamp;
use tokio::sync::broadcast;

/// Notes kept at most.
pub(crate) const MOST_NOTES: usize = 200;
/// Characters of a title at most.
pub(crate) const LONGEST_TITLE: usize = 120;
/// Characters of a text at most.
pub(crate) const LONGEST_TEXT: usize = 4_000;

const SEED: [(&str, &str); 3] = [
    (
        "Welcome",
        "This notebook belongs to the sample server. Everybody who can reach it reads and writes the same notes.",
    ),
    ("Groceries", "Bread, olives, a lemon, and something sweet for Friday."),
    ("Gate", "A portcullis is a grating that is let down to close a gateway."),
];

#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) id: u64,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) written_at: Timestamp,
}

/// What happened to the notebook.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A note came.
    Added(String),
    /// A note went.
    Removed(String),
}

pub(crate) struct Notebook {
    notes: Mutex<Notes>,
    changes: broadcast::Sender<Change>,
}

struct Notes {
    by_id: BTreeMap<u64, Note>,
    next: u64,
}

impl Change {
    /// The resource that changed.
    pub(crate) fn uri(&self) -> &str {
        match self {
            Self::Added(uri) | Self::Removed(uri) => uri,
        }
    }
}

impl Note {
    pub(crate) fn uri(&self) -> String {
        format!("note:///{}", self.id)
    }
}

impl Notebook {
    pub(crate) fn new(now: Timestamp) -> Self {
        let notebook =
            Self { notes: Mutex::new(Notes { by_id: BTreeMap::new(), next: 1 }), changes: broadcast::Sender::new(64) };
        for (title, text) in SEED {
            notebook.add(title, text, now);
        }
        notebook
    }

    /// All notes, oldest first.
    pub(crate) fn all(&self) -> Vec<Note> {
        self.lock().by_id.values().cloned().collect()
    }

    pub(crate) fn get(&self, id: u64) -> Option<Note> {
        self.lock().by_id.get(&id).cloned()
    }

    /// The note that `uri` names.
    pub(crate) fn by_uri(&self, uri: &str) -> Option<Note> {
        let id: u64 = uri.strip_prefix("note:///")?.parse().ok()?;
        self.get(id).filter(|note| note.uri() == uri)
    }

    /// Notes whose title or text contains `query`, in any case of its letters.
    pub(crate) fn search(&self, query: &str) -> Vec<Note> {
        let query = query.to_lowercase();
        let matches = |text: &str| text.to_lowercase().contains(&query);
        self.lock().by_id.values().filter(|note| matches(&note.title) || matches(&note.text)).cloned().collect()
    }

    /// A new note; `None` if the notebook is full.
    pub(crate) fn add(&self, title: &str, text: &str, now: Timestamp) -> Option<Note> {
        let mut notes = self.lock();
        if notes.by_id.len() == MOST_NOTES {
            return None;
        }
        let note = Note { id: notes.next, title: title.to_owned(), text: text.to_owned(), written_at: now };
        notes.next += 1;
        notes.by_id.insert(note.id, note.clone());
        Some(note)
    }

    pub(crate) fn remove(&self, id: u64) -> Option<Note> {
        self.lock().by_id.remove(&id)
    }

    pub(crate) fn announce(&self, change: &Change) {
        // Nobody listens: nobody needs to know.
        let _ = self.changes.send(change.clone());
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
