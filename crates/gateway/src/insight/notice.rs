//! What is out of the ordinary: each person held against their own past. Whoever has none is new, not strange.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_base::Timestamp;
use portcullis_store::{First, Thing};

use super::{DAY, day};

/// A person has a past when they were first seen so many days ago.
const KNOWN_DAYS: i64 = 7;
/// So many days before a day say what is usual.
pub(super) const USUAL_DAYS: i64 = 28;
/// On so many of them a person must have made calls.
const ACTIVE_DAYS: usize = 5;
/// Fewer calls in a day are nothing to look at, whatever is usual.
const LEAST_CALLS: i64 = 100;
/// What is usual is exceeded so many times.
const TIMES: i64 = 3;
/// And by so many deviations: 6 × 1.4826 median deviations, which is six standard deviations where numbers are normal.
const DEVIATIONS: f64 = 6.0 * 1.4826;

/// Something that somebody looks at, or not: it blocks nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The person's identifier.
    pub person: String,
    /// When it began.
    pub at: Timestamp,
    /// What.
    pub what: Strange,
}

/// What is strange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strange {
    /// They used something for the first time.
    New {
        /// What kind of thing.
        thing: Thing,
        /// The server of tools; empty for others.
        server: String,
        /// Which: those of one day together.
        names: Vec<String>,
    },
    /// They made far more calls in a day than they do.
    Volume {
        /// How many.
        calls: i64,
        /// How many they make on a day on which they make any: the median.
        usual: i64,
    },
}

/// What is out of the ordinary since `since`, the newest first: of what was first used since then, and of the calls that each
/// person made on each day, which begin [`USUAL_DAYS`] earlier.
pub fn notices(since: Timestamp, firsts: &[First], days: &[(String, Timestamp, i64)]) -> Vec<Notice> {
    let mut notices = new_things(firsts);
    let mut of_people: BTreeMap<&str, Vec<(Timestamp, i64)>> = BTreeMap::new();
    for (person, day, calls) in days {
        of_people.entry(person).or_default().push((*day, *calls));
    }
    for (person, days) in of_people {
        let strange = days.iter().filter(|(at, _)| *at >= day(since));
        notices.extend(strange.filter_map(|(at, calls)| {
            let usual = exceeded(&days, *at, *calls)?;
            Some(Notice { person: person.into(), at: *at, what: Strange::Volume { calls: *calls, usual } })
        }));
    }
    notices.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.person.cmp(&b.person)));
    notices
}

/// First uses of people who have a past: those of one day and one server are one notice, and the tools of a server that is new
/// to somebody are nothing new beside it.
fn new_things(firsts: &[First]) -> Vec<Notice> {
    let known = |first: &&First| first.at.as_millis() - first.known_since.as_millis() >= KNOWN_DAYS * DAY;
    let servers: BTreeSet<_> = firsts
        .iter()
        .filter(|first| first.thing == Thing::Server)
        .map(|first| (first.person.as_str(), first.name.as_str()))
        .collect();
    let told = |first: &&First| first.thing != Thing::Tool || !servers.contains(&(&*first.person, &*first.server));
    let mut groups: BTreeMap<_, Vec<&First>> = BTreeMap::new();
    for first in firsts.iter().filter(known).filter(told) {
        groups.entry((&first.person, first.thing, &first.server, day(first.at))).or_default().push(first);
    }
    let notice = |((person, thing, server, _), mut firsts): ((&String, _, &String, _), Vec<&First>)| {
        firsts.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
        let at = firsts.first().map(|first| first.at)?;
        let names = firsts.into_iter().map(|first| first.name.clone()).collect();
        Some(Notice { person: person.clone(), at, what: Strange::New { thing, server: server.clone(), names } })
    };
    groups.into_iter().filter_map(notice).collect()
}

/// What is usual for somebody, if that many calls on the day `at` are far beyond it.
fn exceeded(days: &[(Timestamp, i64)], at: Timestamp, calls: i64) -> Option<i64> {
    let ago = |day: Timestamp| (at.as_millis() - day.as_millis()) / DAY;
    let past: Vec<_> = days.iter().filter(|(day, _)| (1..=USUAL_DAYS).contains(&ago(*day))).collect();
    let is_known = past.iter().any(|(day, _)| ago(*day) >= KNOWN_DAYS);
    if calls < LEAST_CALLS || past.len() < ACTIVE_DAYS || !is_known {
        return None;
    }
    let usual = median(past.iter().map(|(_, calls)| *calls))?;
    let deviation = median(past.iter().map(|(_, calls)| (calls - usual).abs()))?;
    let far = usual as f64 + DEVIATIONS * deviation as f64;
    (calls > usual * TIMES && calls as f64 > far).then_some(usual)
}

fn median(numbers: impl Iterator<Item = i64>) -> Option<i64> {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    let middle = numbers.len() / 2;
    let upper = *numbers.get(middle)?;
    Some(if numbers.len() % 2 == 1 { upper } else { numbers[middle - 1].midpoint(upper) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many days, and hours, after the beginning.
    fn at(days: i64, hours: i64) -> Timestamp {
        Timestamp::from_millis((20_000 + days) * DAY + hours * 3_600_000)
    }

    fn first(person: &str, thing: Thing, server: &str, name: &str, when: Timestamp, known_since: Timestamp) -> First {
        First { person: person.into(), thing, server: server.into(), name: name.into(), at: when, known_since }
    }

    /// Notices in words.
    fn words(notices: &[Notice]) -> Vec<String> {
        let word = |notice: &Notice| match &notice.what {
            Strange::New { thing, server, names } => {
                format!("{}: {} {server} {}", notice.person, thing.as_str(), names.join(","))
            }
            Strange::Volume { calls, usual } => format!("{}: {calls} for {usual}", notice.person),
        };
        notices.iter().map(word).collect()
    }

    #[test]
    fn what_is_new_to_somebody_with_a_past_is_told_once() {
        let (tool, server, client) = (Thing::Tool, Thing::Server, Thing::Client);
        for (why, firsts, told) in [
            ("nothing happened", vec![], vec![]),
            (
                "whoever is new uses everything for the first time",
                vec![first("ada", tool, "shop", "refund", at(6, 23), at(0, 0))],
                vec![],
            ),
            (
                "after a week there is a past",
                vec![first("ada", tool, "shop", "refund", at(7, 0), at(0, 0))],
                vec!["ada: tool shop refund"],
            ),
            (
                "one notice for the tools of a server and a day",
                vec![
                    first("ada", tool, "shop", "refund", at(20, 9), at(0, 0)),
                    first("ada", tool, "shop", "delete", at(20, 8), at(0, 0)),
                    first("ada", tool, "mail", "send", at(20, 7), at(0, 0)),
                    first("ada", tool, "shop", "export", at(21, 7), at(0, 0)),
                ],
                vec!["ada: tool shop export", "ada: tool shop delete,refund", "ada: tool mail send"],
            ),
            (
                "a server that is new says it for its tools",
                vec![
                    first("ada", server, "", "shop", at(20, 8), at(0, 0)),
                    first("ada", tool, "shop", "refund", at(20, 8), at(0, 0)),
                    first("ada", tool, "mail", "send", at(20, 7), at(0, 0)),
                    first("bob", tool, "shop", "refund", at(20, 6), at(0, 0)),
                ],
                vec!["ada: server  shop", "ada: tool mail send", "bob: tool shop refund"],
            ),
            ("a client", vec![first("ada", client, "", "cursor", at(20, 8), at(0, 0))], vec!["ada: client  cursor"]),
            (
                "people apart",
                vec![
                    first("bob", tool, "shop", "refund", at(20, 8), at(0, 0)),
                    first("ada", tool, "shop", "refund", at(20, 8), at(0, 0)),
                    first("eve", tool, "shop", "refund", at(20, 8), at(19, 0)),
                ],
                vec!["ada: tool shop refund", "bob: tool shop refund"],
            ),
        ] {
            assert_eq!(words(&notices(at(0, 0), &firsts, &[])), told, "{why}");
        }
    }

    /// Calls on days of which the last one is today, day 40.
    fn history(calls: &[i64]) -> Vec<(String, Timestamp, i64)> {
        let begun = 41 - calls.len() as i64;
        let days = calls.iter().zip(begun..).filter(|(calls, _)| **calls > 0);
        days.map(|(calls, day)| ("ada".into(), at(day, 0), *calls)).collect()
    }

    #[test]
    fn a_day_is_strange_when_it_is_far_beyond_what_is_usual_for_the_person() {
        let steady = [20, 22, 18, 25, 20, 21, 19, 20];
        let with = |today: i64| [&steady[..], &[today]].concat();
        let big: Vec<i64> = (0..20).map(|n| 10_000 + n * 10).collect();
        for (why, calls, told) in [
            ("as ever", with(23), vec![]),
            ("more, but few", with(99), vec![]),
            ("far more", with(400), vec!["ada: 400 for 20"]),
            ("a new person", vec![20, 22, 18, 25, 20, 400], vec![]),
            ("a week, but few days of it", vec![20, 0, 0, 0, 0, 20, 20, 20, 400], vec![]),
            (
                "days of rest say nothing of days of work",
                vec![150, 0, 0, 160, 0, 0, 0, 150, 0, 0, 155, 0, 0, 0, 160, 0, 0, 158],
                vec![],
            ),
            ("double is not far", [&big[..], &[20_000]].concat(), vec![]),
            ("three times is", [&big[..], &[31_000]].concat(), vec!["ada: 31000 for 10095"]),
            ("somebody whose days differ is given more room", vec![10, 200, 40, 5, 120, 30, 180, 60, 400], vec![]),
            (
                "one wild day before does not hide the next",
                [&steady[..], &[5_000, 20, 900]].concat(),
                vec!["ada: 900 for 20"],
            ),
        ] {
            assert_eq!(words(&notices(at(40, 0), &[], &history(&calls))), told, "{why}");
        }
    }

    #[test]
    fn days_before_the_time_are_the_past_and_no_notice_and_days_in_it_are_held_against_those_before_each() {
        let calls = [20, 22, 18, 25, 20, 21, 19, 20, 700, 20, 800];
        let days = history(&calls);
        assert_eq!(words(&notices(at(39, 12), &[], &days)), ["ada: 800 for 20"]);
        assert_eq!(words(&notices(at(38, 12), &[], &days)), ["ada: 800 for 20", "ada: 700 for 20"]);
        // What is longer ago than four weeks says nothing any more.
        let long_ago: Vec<_> = (0..10).map(|day| ("ada".to_owned(), at(day, 0), 20)).chain(history(&[500])).collect();
        assert_eq!(words(&notices(at(40, 0), &[], &long_ago)), Vec::<String>::new());
    }

    #[test]
    fn medians_stand_in_the_middle() {
        for (numbers, is) in [(vec![], None), (vec![3], Some(3)), (vec![5, 1], Some(3)), (vec![9, 1, 2], Some(2))] {
            assert_eq!(median(numbers.iter().copied()), is, "{numbers:?}");
        }
    }
}
