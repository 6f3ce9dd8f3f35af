//! How the law looks at whoever reads a page, and what waits for them.

use std::sync::Arc;

use portcullis_policy::{
    Assurance, Kind, Somebody,
    approval::{Approval, Means, Voter, is_asked},
};
use portcullis_store::{ApprovalRow, PersonKind, StoreError};

use crate::{
    access::{Lender, lenders},
    app::App,
    extract::LoggedIn,
    names::Names,
    pages::approvals::inbox::Row,
    roles::Standing,
};

/// The most that an inbox shows.
const MOST: u32 = 500;

/// Whoever reads a page, as the law looks at them.
pub(super) struct Reader<'a> {
    pub who: &'a LoggedIn,
    groups: Vec<Arc<str>>,
    surest: Assurance,
    lenders: Vec<Lender>,
}

impl<'a> Reader<'a> {
    pub async fn of(app: &App, who: &'a LoggedIn) -> Result<Self, StoreError> {
        let groups = who.person.groups.iter().map(|group| group.as_str().into()).collect();
        let surest = if app.passkeys.can_sign(&who.person.id).await? { Assurance::Passkey } else { Assurance::Session };
        let lenders = lenders(app, &who.person.id).await?;
        Ok(Self { who, groups, surest, lenders })
    }

    /// Those whose word they may say.
    pub fn instead_of(&self) -> Vec<Somebody<'_>> {
        self.lenders.iter().map(Lender::somebody).collect()
    }

    pub fn voter<'v>(&'v self, means: Means, instead_of: &'v [Somebody<'v>]) -> Voter<'v> {
        Voter { somebody: self.somebody(), means, surest: self.surest, instead_of }
    }

    fn somebody(&self) -> Somebody<'_> {
        let person = &self.who.person;
        let kind = match person.kind {
            PersonKind::Person => Kind::Person,
            PersonKind::Service => Kind::Service,
        };
        let roles = self.who.roles.names();
        Somebody { person: &person.id, name: &person.name, kind, groups: &self.groups, roles, client: None }
    }

    /// Whether their word counts for any demand, or one that they were lent.
    pub fn is_asked(&self, approval: &Approval) -> bool {
        is_asked(approval, &self.voter(Means::Elicitation, &self.instead_of()))
    }

    /// Whether they may read it: it is theirs, they are asked, they have said something, or they may read the record.
    pub fn may_read(&self, approval: &Approval) -> bool {
        let me = &self.who.person.id;
        approval.person == *me
            || self.is_asked(approval)
            || approval.votes.iter().any(|vote| vote.person == *me)
            || self.who.roles.standing() >= Standing::Auditor
    }
}

/// What waits for somebody's word, the oldest first.
pub(super) async fn for_reader(app: &App, reader: &Reader<'_>) -> Result<Vec<ApprovalRow>, StoreError> {
    let mut rows = app.store.approvals_waiting(MOST, app.clock.now()).await?;
    let me = &reader.who.person.id;
    rows.retain(|row| reader.is_asked(&row.approval) && row.approval.votes.iter().all(|vote| vote.person != *me));
    Ok(rows)
}

/// How many calls wait for somebody's word.
pub async fn waiting(app: &App, who: &LoggedIn) -> Result<usize, StoreError> {
    let reader = Reader::of(app, who).await?;
    Ok(for_reader(app, &reader).await?.len())
}

/// What lists show of it.
pub(super) async fn row(app: &App, names: &mut Names, row: &ApprovalRow) -> Result<Row, StoreError> {
    let approval = &row.approval;
    Ok(Row {
        id: approval.id.as_str().to_owned(),
        server: approval.server.to_string(),
        target: row.target.clone(),
        classes: row.classes.iter().map(|class| crate::pages::approvals::class_words(class).0).collect(),
        caller: names.person(app, &approval.person).await?,
        client: names.client(app, &approval.client).await?,
        state: approval.state_at(app.clock.now()),
        asked_at: approval.asked_at,
        expires_at: approval.expires_at,
    })
}
