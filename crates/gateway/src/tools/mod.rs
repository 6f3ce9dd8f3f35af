//! What is known of the tools behind the gateway: what each may do, told from the definition that its server last listed.
//!
//! A server has one [`Book`], and in it a [`Sheet`] for everybody whose list it showed. A definition is judged when a list
//! passes, once; a call only looks its tool up. Nobody is judged by what another one was shown (T-50), and nothing that a
//! server says of a tool makes it milder than it looks (T-75); only an administrator's [`Verdict`] does.

mod book;
mod hints;
mod origin;
mod sheet;
mod verdict;

pub use book::{Book, Part};
pub use hints::hinted;
pub use origin::Origin;
pub use sheet::{Page, Sheet};
pub use verdict::{Risk, Verdict, Verdicts};
