//! What the store promises, each promise played on SQLite and on PostgreSQL by the same function.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod access;
mod access_keys;
mod approvals;
mod asked_again;
mod audit_buckets;
mod audit_index;
mod changes;
mod clients;
mod connect_flows;
mod connections;
mod delegations;
mod given;
mod grants;
mod groups;
mod identities;
mod insight;
mod invitations;
mod key_ring;
mod keys;
mod machine;
mod offboard;
mod passkeys;
mod people;
mod purge;
mod quotas;
mod restored;
mod schema;
mod scim_groups;
mod scim_users;
mod sealed;
mod server_facts;
mod servers;
mod session_labels;
mod sessions;
mod standing_grants;
mod tokens;
mod transactions;
mod upstream_clients;

/// Makes two tests of each story, one per engine. A story that is not listed is dead code, which the compiler tells.
///
/// `on one thread:` is for stories that count awaits: with a second thread an answer of PostgreSQL may already be there when
/// it is first asked for, and the story would see no await at all.
macro_rules! on_both {
    (on one thread: $($story:ident),+ $(,)?) => {
        $crate::on_both!(@ (flavor = "current_thread") $($story),+);
    };
    ($($story:ident),+ $(,)?) => {
        $crate::on_both!(@ (flavor = "multi_thread", worker_threads = 2) $($story),+);
    };
    (@ $flavor:tt $($story:ident),+) => {
        $(
            $crate::on_both!(@@ $flavor $story);
        )+
    };
    (@@ ($($flavor:tt)+) $story:ident) => {
        mod $story {
            #[tokio::test($($flavor)+)]
            async fn on_sqlite() {
                let given = $crate::given::on_sqlite().await;
                super::$story(&given).await;
            }

            #[tokio::test($($flavor)+)]
            async fn on_postgresql() {
                if let Some(given) = $crate::given::on_postgresql().await {
                    super::$story(&given).await;
                }
            }
        }
    };
}
pub(crate) use on_both;
