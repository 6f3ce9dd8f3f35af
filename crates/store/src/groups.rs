//! Groups, and who says that they exist.

use crate::{Store, StoreError, people::group_list};

/// Who says that somebody is in a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupSource {
    /// An administrator, here.
    Here,
    /// A provider, at a sign-in or when it was asked again.
    Provider(String),
    /// The directory of a provider.
    Directory(String),
}

/// That a source knows a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupOrigin {
    /// The group.
    pub name: String,
    /// Who says so.
    pub source: GroupSource,
}

impl Store {
    /// Every group with each of its sources, by name.
    pub async fn group_origins(&self) -> Result<Vec<GroupOrigin>, StoreError> {
        let mut origins = Vec::new();
        let mut add = |names: Vec<String>, source: &GroupSource| {
            origins.extend(names.into_iter().map(|name| GroupOrigin { name, source: source.clone() }));
        };
        for mut row in self.db.query("select distinct member_of from people", &[]).await? {
            add(group_list(&row.take::<String>()?)?, &GroupSource::Here);
        }
        let told = "select distinct provider, member_of from identities where ended_at is null";
        for mut row in self.db.query(told, &[]).await? {
            let source = GroupSource::Provider(row.take()?);
            add(group_list(&row.take::<String>()?)?, &source);
        }
        for mut row in self.db.query("select provider, display_name from scim_groups", &[]).await? {
            let source = GroupSource::Directory(row.take()?);
            add(vec![row.take()?], &source);
        }
        origins.sort_unstable();
        origins.dedup();
        Ok(origins)
    }
}
