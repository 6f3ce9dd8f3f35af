//! Passkeys: public keys that people prove themselves with. Nothing in here is secret.

use portcullis_base::{PersonId, Timestamp};

use crate::{
    Store, StoreError,
    db::{Row, params, transact},
    people::is_active,
};

/// A passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasskeyRow {
    /// Its identifier, as the authenticator gave it.
    pub id: Vec<u8>,
    /// Whose.
    pub person: PersonId,
    /// What they call it.
    pub name: String,
    /// The public key, as the authenticator gave it (COSE).
    pub public_key: Vec<u8>,
    /// How often it signed, if it counts.
    pub counter: u32,
    /// How it can be reached, as the browser told.
    pub transports: Vec<String>,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it last signed.
    pub used_at: Option<Timestamp>,
}

const PASSKEY: &str = "k.id, k.person, k.name, k.public_key, k.counter, k.transports, k.made_at, k.used_at";

impl Store {
    /// Keeps a passkey, if the person has fewer than `most`; whether it was kept. One that is there already, whoever's it
    /// is, is [`StoreError::Taken`].
    pub async fn put_passkey(&self, row: &PasskeyRow, most: u32) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            if !is_active(tx, &row.person).await? {
                return Err(StoreError::Missing);
            }
            let counted =
                tx.query_first("select count(*) from passkeys where person = $1", &params![&row.person]).await?;
            if counted.map_or(Ok(0), |mut row| row.take::<i64>())? >= i64::from(most) {
                return Ok(false);
            }
            tx.execute(
                "insert into passkeys (id, person, name, public_key, counter, transports, made_at) \
                 values ($1, $2, $3, $4, $5, $6, $7)",
                &params![
                    &row.id,
                    &row.person,
                    &row.name,
                    &row.public_key,
                    i64::from(row.counter),
                    row.transports.join(" "),
                    row.made_at
                ],
            )
            .await?;
            Ok(true)
        })
    }

    /// Those of one person, the oldest first.
    pub async fn passkeys_of(&self, person: &PersonId) -> Result<Vec<PasskeyRow>, StoreError> {
        let sql = format!("select {PASSKEY} from passkeys k where k.person = $1 order by k.made_at, k.id");
        self.db.query(&sql, &params![person]).await?.into_iter().map(passkey).collect()
    }

    /// Notes that a passkey has signed, and how often it has by now; `false`: it is gone, or has signed as often already,
    /// which only a copy of it does.
    pub async fn passkey_signed(&self, id: &[u8], counter: u32, now: Timestamp) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let noted = tx
                .execute(
                    "update passkeys set counter = $2, used_at = $3 where id = $1 \
                     and (counter < $2 or (counter = 0 and $2 = 0))",
                    &params![id, i64::from(counter), now],
                )
                .await?;
            Ok(noted == 1)
        })
    }

    /// Removes a passkey of this person; whether they had it.
    pub async fn remove_passkey(&self, person: &PersonId, id: &[u8]) -> Result<bool, StoreError> {
        transact!(self.db, |tx| {
            let sql = "delete from passkeys where id = $1 and person = $2";
            Ok(tx.execute(sql, &params![id, person]).await? == 1)
        })
    }
}

fn passkey(mut row: Row) -> Result<PasskeyRow, StoreError> {
    Ok(PasskeyRow {
        id: row.take()?,
        person: row.take()?,
        name: row.take()?,
        public_key: row.take()?,
        counter: u32::try_from(row.take::<i64>()?).unwrap_or(u32::MAX),
        transports: row.take::<String>()?.split(' ').filter(|way| !way.is_empty()).map(Into::into).collect(),
        made_at: row.take()?,
        used_at: row.take()?,
    })
}
