//! Searching: open lines one by one, buckets by their lists of places, the newest first.

use std::collections::{BTreeMap, HashMap, HashSet};

use portcullis_base::Timestamp;

use super::{
    AuditEntry, AuditFilter, AuditPage,
    bucket::{CHUNK, Field, Places, Term, read_chunk, read_times},
    filter::folded,
};
use crate::{
    Store, StoreError,
    db::{Param, params},
};

/// Open lines that are read at a time.
const OPEN_LINES: u32 = 500;
/// Buckets whose lists are read at a time: few at first, as the newest ones mostly have enough.
const BUCKETS: [usize; 4] = [1, 4, 16, 64];
/// Chunks that are read at a time.
const CHUNKS: usize = 8;
/// If more names than these have the text in them, then most lines do, and looking at them is cheaper than at the lists.
const NAMES: usize = 256;

/// One of several terms must be there, for each condition.
type Conditions = Vec<Vec<Term>>;

/// A bucket as its row tells of it.
struct Found {
    bucket: i64,
    node: String,
    last_at: Timestamp,
}

/// The newest entries found so far, at most as many as are wanted.
struct Newest<'a> {
    filter: &'a AuditFilter,
    page: &'a AuditPage,
    entries: Vec<AuditEntry>,
}

impl Store {
    /// Finds entries, the newest first.
    pub async fn audit(&self, filter: &AuditFilter, page: &AuditPage) -> Result<Vec<AuditEntry>, StoreError> {
        let mut newest = Newest { filter, page, entries: Vec::new() };
        if page.limit == 0 {
            return Ok(newest.entries);
        }
        // In this order: what becomes a bucket meanwhile is then found twice, not left out.
        self.among_open(&mut newest).await?;
        let conditions = self.conditions(filter).await?;
        if conditions.iter().all(|terms| !terms.is_empty()) {
            self.among_buckets(&conditions, &mut newest).await?;
        }
        Ok(newest.entries)
    }

    /// Finds the newest `most` entries and hands them over one by one, without keeping them all.
    pub(crate) async fn each_audit(
        &self,
        filter: &AuditFilter,
        most: u32,
        mut each: impl FnMut(AuditEntry),
    ) -> Result<(), StoreError> {
        let (mut left, mut before) = (most, None);
        while left > 0 {
            let page = AuditPage { limit: left.min(2 * OPEN_LINES), before: before.take() };
            let found = self.audit(filter, &page).await?;
            left -= (found.len() as u32).min(left);
            before = found.last().map(|last| (last.row.at, last.row.node.clone(), last.row.seq));
            let full = found.len() == page.limit as usize;
            found.into_iter().for_each(&mut each);
            if !full {
                break;
            }
        }
        Ok(())
    }

    async fn among_open(&self, newest: &mut Newest<'_>) -> Result<(), StoreError> {
        let sql = "select line from audit_open where happened_at >= $1 and happened_at < $2 \
                   and (happened_at, node, seq) < ($3, $4, $5) order by happened_at desc, node desc, seq desc limit $6";
        let (since, until) = newest.span();
        let mut before = newest.page.before.clone().unwrap_or((Timestamp::from_millis(i64::MAX), String::new(), 0));
        while !newest.is_full() {
            let (at, node, seq) = &before;
            let rows = self.db.query(sql, &params![since, until, *at, node, *seq, i64::from(OPEN_LINES)]).await?;
            let full = rows.len() == OPEN_LINES as usize;
            for mut row in rows {
                let Some(entry) = AuditEntry::of(row.take()?) else { continue };
                before = (entry.row.at, entry.row.node.clone(), entry.row.seq);
                if !newest.is_full() && newest.filter.matches(&entry.row) {
                    newest.entries.push(entry);
                }
            }
            if !full {
                break;
            }
        }
        Ok(())
    }

    async fn among_buckets(&self, conditions: &Conditions, newest: &mut Newest<'_>) -> Result<(), StoreError> {
        let sql = "select bucket, node, last_at from audit_buckets where forgotten_at is null and first_at < $1 \
                   and last_at >= $2 and (last_at, bucket) < ($3, $4) order by last_at desc, bucket desc limit $5";
        let (since, until) = newest.span();
        let mut before = (Timestamp::from_millis(i64::MAX), i64::MAX);
        for portion in BUCKETS.into_iter().chain(std::iter::repeat(BUCKETS[BUCKETS.len() - 1])) {
            let values = params![until, since, before.0, before.1, portion as i64];
            let rows = self.db.query(sql, &values).await?;
            let buckets = rows
                .into_iter()
                .map(|mut row| Ok(Found { bucket: row.take()?, node: row.take()?, last_at: row.take()? }));
            let buckets = buckets.collect::<Result<Vec<_>, StoreError>>()?;
            let Some(last) = buckets.last() else { break };
            before = (last.last_at, last.bucket);
            let full = buckets.len() == portion;
            let mut places = self.places(conditions, &buckets).await?;
            for bucket in buckets {
                if newest.is_beyond(bucket.last_at) {
                    return Ok(());
                }
                let places = places.remove(&bucket.bucket);
                if places.is_some() || conditions.is_empty() {
                    self.within(&bucket, places.as_ref(), newest).await?;
                }
            }
            if !full {
                break;
            }
        }
        Ok(())
    }

    /// The places in each bucket that meet every condition; no buckets without any.
    async fn places(&self, conditions: &Conditions, buckets: &[Found]) -> Result<HashMap<i64, Places>, StoreError> {
        let mut met: HashMap<i64, Places> = HashMap::new();
        for (n, terms) in conditions.iter().enumerate() {
            // Only where the conditions before are met somewhere.
            let left: Vec<i64> =
                buckets.iter().map(|found| found.bucket).filter(|bucket| n == 0 || met.contains_key(bucket)).collect();
            if left.is_empty() {
                break;
            }
            let rows: Vec<i64> = terms.iter().map(|term| term.row()).collect::<HashSet<_>>().into_iter().collect();
            let mut values = Vec::new();
            let sql = format!(
                "select bucket, term, places from audit_places where bucket in ({}) and term in ({})",
                among(&left, &mut values),
                among(&rows, &mut values)
            );
            let mut these: HashMap<i64, Places> = HashMap::new();
            for mut row in self.db.query(&sql, &values).await? {
                let (bucket, found, bytes) = (row.take()?, row.take::<i64>()?, row.take::<Vec<u8>>()?);
                let places = these.entry(bucket).or_insert_with(Places::none);
                for term in terms.iter().filter(|term| term.row() == found) {
                    term.read(&bytes, places)?;
                }
            }
            if n > 0 {
                these.retain(|bucket, places| {
                    met.get(bucket).is_some_and(|before| {
                        places.keep(before);
                        true
                    })
                });
            }
            these.retain(|_, places| !places.is_empty());
            met = these;
        }
        Ok(met)
    }

    /// Takes from a bucket what is newer than what was found so far.
    async fn within(&self, bucket: &Found, places: Option<&Places>, newest: &mut Newest<'_>) -> Result<(), StoreError> {
        let sql = "select times from audit_buckets where bucket = $1";
        let Some(mut row) = self.db.query_first(sql, &params![bucket.bucket]).await? else { return Ok(()) };
        let times = read_times(&row.take::<Vec<u8>>()?)?;
        let mut candidates: Vec<(Timestamp, i64, usize)> = times
            .into_iter()
            .enumerate()
            .filter(|(place, (seq, at))| {
                places.is_none_or(|places| places.has(*place)) && newest.wants(*at, &bucket.node, *seq)
            })
            .map(|(place, (seq, at))| (at, seq, place))
            .collect();
        candidates.sort_unstable_by(|a, b| b.cmp(a));
        let mut chunks = BTreeMap::new();
        let mut taken = 0;
        for (n, (.., place)) in candidates.iter().enumerate() {
            if taken == newest.page.limit as usize {
                break;
            }
            if !chunks.contains_key(&(place / CHUNK)) {
                let ahead = candidates[n..].iter().take(newest.page.limit as usize - taken);
                self.read_chunks(bucket.bucket, ahead.map(|(.., place)| place / CHUNK), &mut chunks).await?;
            }
            let line = chunks.get(&(place / CHUNK)).and_then(|lines| lines.get(place % CHUNK));
            let entry = line.cloned().and_then(AuditEntry::of).filter(|entry| newest.filter.matches(&entry.row));
            taken += usize::from(entry.is_some());
            newest.entries.extend(entry);
        }
        newest.settle();
        Ok(())
    }

    /// Reads the next chunks that are not there yet.
    async fn read_chunks(
        &self,
        bucket: i64,
        wanted: impl Iterator<Item = usize>,
        chunks: &mut BTreeMap<usize, Vec<String>>,
    ) -> Result<(), StoreError> {
        let mut missing: Vec<i64> = Vec::new();
        for chunk in wanted {
            if missing.len() < CHUNKS && !chunks.contains_key(&chunk) && !missing.contains(&(chunk as i64)) {
                missing.push(chunk as i64);
            }
        }
        let mut values = Vec::from(params![bucket]);
        let among = among(&missing, &mut values);
        let sql = format!("select chunk, lines from audit_chunks where bucket = $1 and chunk in ({among})");
        for mut row in self.db.query(&sql, &values).await? {
            let (chunk, bytes) = (row.take::<i64>()?, row.take::<Vec<u8>>()?);
            chunks.insert(chunk as usize, read_chunk(&bytes)?);
        }
        Ok(())
    }

    /// What the lists of a bucket are asked for.
    async fn conditions(&self, filter: &AuditFilter) -> Result<Conditions, StoreError> {
        let mut conditions: Conditions = filter
            .exact()
            .map(|(fields, value)| fields.iter().map(|field| Term::of(*field, value)).collect())
            .collect();
        if let Some(kind) = filter.kind.as_deref().filter(|kind| !kind.is_empty()) {
            let sql = "select name from audit_names where field = $1";
            let rows = self.db.query(sql, &params![Field::Kind.as_str()]).await?;
            let kinds = rows.into_iter().map(|mut row| row.take::<String>()).collect::<Result<Vec<_>, _>>()?;
            let matching = kinds.iter().filter(|name| name.starts_with(kind));
            conditions.push(matching.map(|name| Term::of(Field::Kind, name)).collect());
        }
        if let Some(text) = filter.text.as_deref().filter(|text| !text.is_empty()) {
            let sql = "select term from audit_names where field <> $1 and folded like $2 escape '!' limit $3";
            let values = params![Field::Kind.as_str(), containing(&folded(text)), NAMES as i64 + 1];
            let rows = self.db.query(sql, &values).await?;
            let terms = rows.into_iter().map(|mut row| row.take().map(Term::Value)).collect::<Result<Vec<_>, _>>()?;
            if terms.len() <= NAMES {
                conditions.push(terms);
            }
        }
        Ok(conditions)
    }
}

impl Newest<'_> {
    fn is_full(&self) -> bool {
        self.entries.len() >= self.page.limit as usize
    }

    /// From when, and before when.
    fn span(&self) -> (Timestamp, Timestamp) {
        let since = self.filter.since.unwrap_or(Timestamp::from_millis(i64::MIN));
        let until = self.filter.until.unwrap_or(Timestamp::from_millis(i64::MAX));
        let before = self.page.before.as_ref().map(|(at, ..)| Timestamp::from_millis(at.as_millis().saturating_add(1)));
        (since, before.map_or(until, |before| until.min(before)))
    }

    /// Whether everything up to that moment is older than all that is wanted.
    fn is_beyond(&self, last_at: Timestamp) -> bool {
        self.is_full() && self.entries.last().is_some_and(|last| last_at < last.row.at)
    }

    /// Whether a line of that moment and place is one of the newest. To be asked while the entries are sorted.
    fn wants(&self, at: Timestamp, node: &str, seq: i64) -> bool {
        let (since, until) = self.span();
        let order = (at, node, seq);
        let before = self.page.before.as_ref().is_none_or(|(at, node, seq)| order < (*at, node.as_str(), *seq));
        let newer = !self.is_full() || self.entries.last().is_some_and(|last| order > last.order());
        since <= at && at < until && before && newer
    }

    /// Sorts in what was added, and lets go of what is too old.
    fn settle(&mut self) {
        self.entries.sort_unstable_by(|a, b| b.order().cmp(&a.order()));
        self.entries.dedup_by(|a, b| a.order() == b.order());
        self.entries.truncate(self.page.limit as usize);
    }
}

/// The placeholders of a list of values. Their number is a power of two, the last value repeated: few statements, each
/// prepared once.
fn among(list: &[i64], values: &mut Vec<Param<'_>>) -> String {
    let width = list.len().next_power_of_two();
    let filled = list.iter().chain(std::iter::repeat(list.last().unwrap_or(&i64::MIN))).take(width);
    let first = values.len() + 1;
    values.extend(filled.map(|value| Param::from(*value)));
    (first..=values.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// A pattern for what has `text` in it.
fn containing(text: &str) -> String {
    format!("%{}%", text.replace('!', "!!").replace('%', "!%").replace('_', "!_"))
}
