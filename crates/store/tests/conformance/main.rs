//! What the store promises, each promise played on SQLite and on PostgreSQL by the same function.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod audit_index;
mod changes;
mod clients;
mod given;
mod grants;
mod invitations;
mod keys;
mod people;
mod purge;
mod schema;
mod servers;
mod sessions;
mod tokens;
mod transactions;

/// Makes two tests of each story, one per engine. A story that is not listed is dead code, which the compiler tells.
macro_rules! on_both {
    ($($story:ident),+ $(,)?) => {
        $(
            mod $story {
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_sqlite() {
                    let given = $crate::given::on_sqlite().await;
                    super::$story(&given).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_postgresql() {
                    if let Some(given) = $crate::given::on_postgresql().await {
                        super::$story(&given).await;
                    }
                }
            }
        )+
    };
}
pub(crate) use on_both;
