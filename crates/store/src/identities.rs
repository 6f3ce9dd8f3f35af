//! People as their providers know them.
//!
//! Nothing but issuer and subject finds a person: neither a mail address nor a name does (spec: T-52). A directory may have
//! announced somebody before they first sign in; how the two are recognised as one is the settings' choice.

use portcullis_base::{PersonId, Timestamp};
use portcullis_oauth::grant::RevokedWhy;

use crate::{
    ACCESS_KEY, ChangeKind, Ended, NewPerson, Person, Store, StoreError, TOKENS_ALIVE,
    db::{Row, Tx, params, transact},
    grants::revoke,
    people::{self, PERSON, free_name, group_json, group_list, person},
    sessions::{BornOf, end_born_of},
};

/// A person as a provider knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider, by its name in the settings.
    pub provider: String,
    /// The issuer.
    pub issuer: String,
    /// Who they are to it.
    pub subject: String,
    /// Whose identity it is.
    pub person: PersonId,
    /// The tenant of the issuer.
    pub tenant: Option<String>,
    /// Their mail address, if the provider vouched for it.
    pub email: Option<String>,
    /// What the provider's directory calls them.
    pub external_id: Option<String>,
    /// The groups the provider says they are in.
    pub groups: Vec<String>,
    /// The refresh token with which the provider can be asked again, sealed.
    pub refresh_sealed: Option<Vec<u8>>,
    /// When they first signed in.
    pub created_at: Timestamp,
    /// When they last signed in.
    pub signed_in_at: Timestamp,
    /// When the provider last vouched for them.
    pub checked_at: Timestamp,
    /// Since when it cannot be asked.
    pub failing_since: Option<Timestamp>,
    /// When it stopped vouching for them.
    pub ended_at: Option<Timestamp>,
}

/// Whether somebody who was never heard of gets an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewPeople {
    /// They do.
    Welcome,
    /// They do not: a directory or an administrator must know them.
    Refused,
}

/// How somebody whom the directory announced is recognised when they first sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkBy {
    /// Not at all.
    Nothing,
    /// By what the directory calls them.
    ExternalId,
    /// By their mail address, which the provider vouched for.
    VerifiedEmail,
}

/// What a provider said of somebody who signed in.
#[derive(Clone, Copy, Debug)]
pub struct ProviderSignIn<'a> {
    /// The provider, by its name in the settings.
    pub provider: &'a str,
    /// The issuer.
    pub issuer: &'a str,
    /// Who they are to it.
    pub subject: &'a str,
    /// The tenant of the issuer.
    pub tenant: Option<&'a str>,
    /// What the provider's directory calls them.
    pub external_id: Option<&'a str>,
    /// Their mail address, only if the provider vouched for it.
    pub email: Option<&'a str>,
    /// Account names in order of preference.
    pub names: &'a [String],
    /// The name to show.
    pub display_name: &'a str,
    /// The groups they are in; `None` if the provider did not say, which leaves what it said before.
    pub groups: Option<&'a [String]>,
    /// The refresh token, sealed; `None` leaves the one from before.
    pub refresh_sealed: Option<&'a [u8]>,
    /// Whether strangers get an account.
    pub sign_up: NewPeople,
    /// How people whom the directory announced are recognised.
    pub link: LinkBy,
    /// A fresh identifier, should an account be made.
    pub new_person: &'a PersonId,
}

/// Who signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedIn {
    /// Somebody who was here before.
    Known(Person),
    /// Somebody new.
    Created(Person),
    /// Somebody whom the directory announced.
    Linked(Person),
    /// Nobody.
    Refused(SignInRefused),
}

/// Why nobody was signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInRefused {
    /// The account is disabled.
    Disabled,
    /// Nobody knows them, and strangers get no account.
    Unknown,
    /// The person whom the directory announced has another identity at this provider already, or several match.
    LinkTaken,
}

pub(crate) const IDENTITY: &str = "i.provider, i.issuer, i.subject, i.person, i.tenant, i.email, i.external_id, i.member_of, \
     i.refresh_sealed, i.created_at, i.signed_in_at, i.checked_at, i.failing_since, i.ended_at";

impl Store {
    /// Takes in a sign-in at a provider: finds the person, links them to the one whom the directory announced, or makes an
    /// account.
    ///
    /// spec: T-52
    pub async fn sign_in_identity(&self, sign_in: &ProviderSignIn<'_>, now: Timestamp) -> Result<SignedIn, StoreError> {
        transact!(self.db, |tx| {
            let known = tx
                .query_first(
                    "select person from identities where issuer = $1 and subject = $2",
                    &params![sign_in.issuer, sign_in.subject],
                )
                .await?;
            if let Some(mut row) = known {
                let id: PersonId = row.take()?;
                return Ok(match admit(tx, &id, sign_in, now).await? {
                    Some(person) => SignedIn::Known(person),
                    None => SignedIn::Refused(SignInRefused::Disabled),
                });
            }
            match announced(tx, sign_in).await? {
                Announced::Nobody => {}
                Announced::Taken => return Ok(SignedIn::Refused(SignInRefused::LinkTaken)),
                Announced::Person(id) => {
                    return Ok(match admit(tx, &id, sign_in, now).await? {
                        Some(person) => SignedIn::Linked(person),
                        None => SignedIn::Refused(SignInRefused::Disabled),
                    });
                }
            }
            if sign_in.sign_up == NewPeople::Refused {
                return Ok(SignedIn::Refused(SignInRefused::Unknown));
            }
            create(tx, sign_in, now).await.map(SignedIn::Created)
        })
    }

    /// What providers know of a person.
    pub async fn identities_of(&self, person: &PersonId) -> Result<Vec<Identity>, StoreError> {
        let sql = format!("select {IDENTITY} from identities i where i.person = $1 order by i.provider, i.created_at");
        self.db.query(&sql, &params![person]).await?.into_iter().map(identity).collect()
    }

    /// The identity of this issuer and subject.
    pub async fn identity(&self, issuer: &str, subject: &str) -> Result<Option<Identity>, StoreError> {
        let sql = format!("select {IDENTITY} from identities i where i.issuer = $1 and i.subject = $2");
        self.db.query_first(&sql, &params![issuer, subject]).await?.map(identity).transpose()
    }

    /// The identities that are to be asked about, of people who were seen since `active_since` or carry an access key. They
    /// are the caller's until `lease_until`: another node that asks gets others.
    pub async fn identities_due(&self, due: &Due, now: Timestamp) -> Result<Vec<Identity>, StoreError> {
        let sql = format!(
            "select {IDENTITY} from identities i join people p on p.id = i.person \
             where i.ended_at is null \
             and ((i.checked_at < $1 and i.refresh_sealed is not null) or i.checked_at < $6) \
             and (i.leased_until is null or i.leased_until <= $2) and p.disabled_at is null \
             and (exists (select 1 from sessions s where s.person = p.id and s.seen_at >= $3 and s.expires_at > $2) \
             or exists (select 1 from grants g where g.person = p.id and g.revoked_at is null and g.expires_at > $2 \
             and (g.last_used_at >= $3 or g.created_at >= $3 or g.client = $4))) \
             order by i.checked_at, i.issuer, i.subject limit $5"
        );
        transact!(self.db, |tx| {
            let rows = tx
                .query(
                    &sql,
                    &params![
                        due.checked_before,
                        now,
                        due.active_since,
                        ACCESS_KEY,
                        i64::from(due.limit),
                        due.unasked_before
                    ],
                )
                .await?;
            let mut leased = Vec::with_capacity(rows.len());
            for row in rows {
                let identity = identity(row)?;
                let mine = tx
                    .execute(
                        "update identities set leased_until = $3 where issuer = $1 and subject = $2 \
                         and (leased_until is null or leased_until <= $4)",
                        &params![&identity.issuer, &identity.subject, due.lease_until, now],
                    )
                    .await?;
                if mine == 1 {
                    leased.push(identity);
                }
            }
            Ok(leased)
        })
    }

    /// The identity of this issuer and subject, if it was last vouched for before `checked_before` and nobody else is asking
    /// about it. It is the caller's until `lease_until`.
    pub async fn lease_identity(
        &self,
        issuer: &str,
        subject: &str,
        checked_before: Timestamp,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Identity>, StoreError> {
        transact!(self.db, |tx| {
            let mine = tx
                .execute(
                    "update identities set leased_until = $4 where issuer = $1 and subject = $2 and checked_at < $3 \
                     and ended_at is null and (leased_until is null or leased_until <= $5)",
                    &params![issuer, subject, checked_before, lease_until, now],
                )
                .await?;
            if mine == 1 { read(tx, issuer, subject).await } else { Ok(None) }
        })
    }

    /// Keeps the refresh token that a provider gave although it then said nothing of the person, unless they have signed in
    /// anew and brought another.
    pub async fn keep_identity_token(&self, identity: &Identity, sealed: &[u8]) -> Result<(), StoreError> {
        let Identity { issuer, subject, signed_in_at, .. } = identity;
        transact!(self.db, |tx| {
            let sql = "update identities set refresh_sealed = $4 where issuer = $1 and subject = $2 \
                       and signed_in_at = $3 and ended_at is null";
            tx.execute(sql, &params![issuer, subject, *signed_in_at, sealed]).await.map(drop)
        })
    }

    /// Notes that a refresh token was used for something else than to ask about its person, keeps the one that came in its
    /// place, and gives the identity free for whoever asks next. That says nothing of when it was last vouched for.
    pub async fn identity_token_used(&self, identity: &Identity, sealed: Option<&[u8]>) -> Result<(), StoreError> {
        let Identity { issuer, subject, signed_in_at, .. } = identity;
        transact!(self.db, |tx| {
            let sql = "update identities set refresh_sealed = coalesce($4, refresh_sealed), leased_until = null \
                       where issuer = $1 and subject = $2 and signed_in_at = $3 and ended_at is null";
            tx.execute(sql, &params![issuer, subject, *signed_in_at, sealed]).await.map(drop)
        })
    }

    /// Notes that a provider vouched for somebody again, with the groups that it told (`None` leaves what it said before) and
    /// the refresh token it gave; whether the groups changed.
    pub async fn identity_checked(
        &self,
        issuer: &str,
        subject: &str,
        groups: Option<&[String]>,
        refresh_sealed: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let Some(before) = read(tx, issuer, subject).await?.filter(|identity| identity.ended_at.is_none()) else {
                return Ok(false);
            };
            let groups = sorted(groups.unwrap_or(&before.groups));
            tx.execute(
                "update identities set member_of = $3, refresh_sealed = coalesce($4, refresh_sealed), checked_at = $5, \
                 failing_since = null, leased_until = null where issuer = $1 and subject = $2",
                &params![issuer, subject, group_json(&groups)?, refresh_sealed, now],
            )
            .await?;
            let changed = groups != before.groups;
            if changed {
                tx.changed(ChangeKind::Person, before.person.as_str(), now);
            }
            Ok(changed)
        })
    }

    /// Notes that a provider could not be asked about somebody; since when it cannot. They are asked about again when the
    /// lease is over.
    pub async fn identity_failing(
        &self,
        issuer: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        transact!(self.db, |tx| {
            let rows = tx
                .query(
                    "update identities set failing_since = coalesce(failing_since, $3) \
                     where issuer = $1 and subject = $2 and ended_at is null returning failing_since",
                    &params![issuer, subject, now],
                )
                .await?;
            rows.into_iter().next().map_or(Ok(None), |mut row| row.take())
        })
    }

    /// Notes that a provider no longer vouches for somebody, and ends the sessions and grants that came from its sign-ins. If
    /// no other identity and no password is left, the person's access keys end too: nobody could be asked about them any more.
    ///
    /// spec: T-53
    pub async fn end_identity(
        &self,
        issuer: &str,
        subject: &str,
        why: RevokedWhy,
        now: Timestamp,
    ) -> Result<Ended, StoreError> {
        transact!(self.db, |tx| {
            let Some(identity) = read(tx, issuer, subject).await? else { return Ok(Ended::default()) };
            tx.execute(
                "update identities set ended_at = coalesce(ended_at, $3), ended_why = coalesce(ended_why, $4), \
                 refresh_sealed = null, failing_since = null, leased_until = null where issuer = $1 and subject = $2",
                &params![issuer, subject, now, why.as_str()],
            )
            .await?;
            let mut ended = end_born_of(tx, &BornOf::Subject(issuer, subject), why, now).await?;
            ended.grants.extend(end_unvouched_keys(tx, &identity.person, why, now).await?);
            tx.changed(ChangeKind::Person, identity.person.as_str(), now);
            Ok(ended)
        })
    }
}

/// Which identities are to be asked about again.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// Those last vouched for before this, if there is something to ask with.
    pub checked_before: Timestamp,
    /// Those last vouched for before this in any case.
    pub unasked_before: Timestamp,
    /// Of people who were seen since this.
    pub active_since: Timestamp,
    /// Until when nobody else is to ask.
    pub lease_until: Timestamp,
    /// How many at most.
    pub limit: u32,
}

/// Notes a sign-in of a person; `None` if they are disabled.
async fn admit(
    tx: &mut Tx,
    id: &PersonId,
    sign_in: &ProviderSignIn<'_>,
    now: Timestamp,
) -> Result<Option<Person>, StoreError> {
    let sql = format!("select {PERSON} from people p where p.id = $1");
    let mut row = tx.query_first(&sql, &params![id]).await?.ok_or(StoreError::Conflict)?;
    let before = person(&mut row)?;
    if !before.is_active() {
        return Ok(None);
    }
    put(tx, id, sign_in, now).await?;
    // What a directory says of a person's name stands above what a sign-in says.
    tx.execute(
        "update people set display_name = $2, email = coalesce($3, email) where id = $1 and not exists \
         (select 1 from scim_users u where u.person = $1 and u.deleted_at is null)",
        &params![id, sign_in.display_name, sign_in.email],
    )
    .await?;
    let mut row = tx.query_first(&sql, &params![id]).await?.ok_or(StoreError::Conflict)?;
    let after = person(&mut row)?;
    if after != before {
        tx.changed(ChangeKind::Person, id.as_str(), now);
    }
    Ok(Some(after))
}

async fn create(tx: &mut Tx, sign_in: &ProviderSignIn<'_>, now: Timestamp) -> Result<Person, StoreError> {
    let new = NewPerson {
        id: sign_in.new_person.clone(),
        name: free_name(tx, sign_in.names).await?,
        display_name: sign_in.display_name.to_owned(),
        email: sign_in.email.map(str::to_owned),
        groups: Vec::new(),
        password_hash: None,
        admin_at: None,
    };
    let person = people::create(tx, &new, now).await?;
    put(tx, &new.id, sign_in, now).await?;
    Ok(Person { groups: sorted(sign_in.groups.unwrap_or_default()), ..person })
}

async fn put(tx: &mut Tx, id: &PersonId, sign_in: &ProviderSignIn<'_>, now: Timestamp) -> Result<(), StoreError> {
    let before = read(tx, sign_in.issuer, sign_in.subject).await?;
    let groups = match (sign_in.groups, before) {
        (Some(groups), _) => sorted(groups),
        (None, Some(before)) => before.groups,
        (None, None) => Vec::new(),
    };
    // Whoever says nothing of groups and brings nothing to ask with leaves open when to ask the next time; else a token that
    // comes often enough would keep the provider from ever being asked about the person's groups.
    let checked_at = match (sign_in.groups, sign_in.refresh_sealed) {
        (None, None) => {
            "case when identities.refresh_sealed is not null and identities.ended_at is null \
             then identities.checked_at else excluded.checked_at end"
        }
        _ => "excluded.checked_at",
    };
    let sql = format!(
        "insert into identities (issuer, subject, provider, person, tenant, email, email_key, external_id, member_of, \
         refresh_sealed, created_at, signed_in_at, checked_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $11) \
         on conflict (issuer, subject) do update set provider = excluded.provider, tenant = excluded.tenant, \
         email = coalesce(excluded.email, identities.email), \
         email_key = coalesce(excluded.email_key, identities.email_key), \
         external_id = coalesce(excluded.external_id, identities.external_id), member_of = excluded.member_of, \
         refresh_sealed = coalesce(excluded.refresh_sealed, identities.refresh_sealed), \
         signed_in_at = excluded.signed_in_at, checked_at = {checked_at}, \
         failing_since = null, leased_until = null, ended_at = null, ended_why = null"
    );
    tx.execute(
        &sql,
        &params![
            sign_in.issuer,
            sign_in.subject,
            sign_in.provider,
            id,
            sign_in.tenant,
            sign_in.email,
            sign_in.email.map(str::to_lowercase),
            sign_in.external_id,
            group_json(&groups)?,
            sign_in.refresh_sealed,
            now
        ],
    )
    .await
    .map(drop)
}

enum Announced {
    Nobody,
    Person(PersonId),
    Taken,
}

/// Whom the directory of this provider announced as the one who signs in.
async fn announced(tx: &mut Tx, sign_in: &ProviderSignIn<'_>) -> Result<Announced, StoreError> {
    let (sql, key) = match sign_in.link {
        LinkBy::Nothing => return Ok(Announced::Nobody),
        LinkBy::ExternalId => (
            "select person from scim_users where provider = $1 and external_id = $2 and deleted_at is null",
            sign_in.external_id.map(str::to_owned),
        ),
        LinkBy::VerifiedEmail => (
            "select person from scim_users where provider = $1 and email_key = $2 and deleted_at is null",
            sign_in.email.map(str::to_lowercase),
        ),
    };
    let Some(key) = key else { return Ok(Announced::Nobody) };
    let mut rows = tx.query(sql, &params![sign_in.provider, key]).await?.into_iter();
    let Some(mut row) = rows.next() else { return Ok(Announced::Nobody) };
    let id: PersonId = row.take()?;
    let linked = tx
        .query("select 1 from identities where person = $1 and provider = $2", &params![&id, sign_in.provider])
        .await?;
    Ok(if rows.next().is_some() || !linked.is_empty() { Announced::Taken } else { Announced::Person(id) })
}

async fn end_unvouched_keys(
    tx: &mut Tx,
    person: &PersonId,
    why: RevokedWhy,
    now: Timestamp,
) -> Result<Vec<portcullis_base::GrantId>, StoreError> {
    let rows = tx
        .query(
            "select g.id from grants g where g.person = $1 and g.client = $2 and g.revoked_at is null \
             and g.expires_at > $3 \
             and not exists (select 1 from identities i where i.person = $1 and i.ended_at is null) \
             and not exists (select 1 from people p where p.id = $1 and p.password_hash is not null)",
            &params![person, ACCESS_KEY, now.minus(TOKENS_ALIVE)],
        )
        .await?;
    let mut ended = Vec::new();
    for mut row in rows {
        let id = row.take()?;
        if revoke(tx, &id, why, now).await? {
            ended.push(id);
        }
    }
    Ok(ended)
}

async fn read(tx: &mut Tx, issuer: &str, subject: &str) -> Result<Option<Identity>, StoreError> {
    let sql = format!("select {IDENTITY} from identities i where i.issuer = $1 and i.subject = $2");
    tx.query_first(&sql, &params![issuer, subject]).await?.map(identity).transpose()
}

fn sorted(groups: &[String]) -> Vec<String> {
    let mut groups = groups.to_vec();
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn identity(mut row: Row) -> Result<Identity, StoreError> {
    Ok(Identity {
        provider: row.take()?,
        issuer: row.take()?,
        subject: row.take()?,
        person: row.take()?,
        tenant: row.take()?,
        email: row.take()?,
        external_id: row.take()?,
        groups: group_list(&row.take::<String>()?)?,
        refresh_sealed: row.take()?,
        created_at: row.take()?,
        signed_in_at: row.take()?,
        checked_at: row.take()?,
        failing_since: row.take()?,
        ended_at: row.take()?,
    })
}
