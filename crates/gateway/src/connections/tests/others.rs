//! Nobody ever gets what is another's.

use std::collections::HashMap;

use portcullis_audit::Actor;
use portcullis_base::{Holder, Rng, Secret, SeededRng, ServerName};

use super::stage::{Stage, holder, keyed, server, shared, whom};
use crate::{
    config::{Credential, KeySource, OAuth},
    connections::Lack,
};

const PEOPLE: [&str; 5] = ["ada", "bob", "cyd", "dan", "eve"];
const SERVERS: [&str; 4] = ["mail", "files", "wiki", "team"];

fn servers() -> Vec<crate::snapshot::Server> {
    let each = || Credential::OAuth(OAuth::default());
    vec![
        server("mail", each()),
        server("files", each()),
        server("wiki", keyed(KeySource::Each)),
        server("team", shared()),
    ]
}

struct Dice(SeededRng);

impl Dice {
    fn roll(&self, below: usize) -> usize {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes) as usize % below
    }
}

/// What the holder at a server must see: the generation that they put there last.
type Truth = HashMap<(String, &'static str), u32>;

// spec: T-51: "property test over random tenants"; UP-40
#[tokio::test]
async fn random_holders_and_servers_never_see_what_is_anothers() {
    for seed in 0..6 {
        let dice = Dice(SeededRng::new(seed));
        let mut one = Stage::new().await;
        for name in &PEOPLE[1..] {
            one.add_person(name).await;
        }
        let mut two = one.beside(2).await;
        one.set_up(&servers());
        two.set_up(&servers());
        let mut truth = Truth::new();
        for turn in 0..250 {
            let (who, which) = (PEOPLE[dice.roll(PEOPLE.len())], SERVERS[dice.roll(SERVERS.len())]);
            let stage = if dice.roll(2) == 0 { &one } else { &two };
            let server = stage.snapshot.load().servers[&ServerName::parse(which).unwrap()].clone();
            let owner = if which == "team" { Holder::Shared } else { holder(who) };
            let entry = (owner.to_string(), which);
            match dice.roll(8) {
                0 | 1 => {
                    let mark = format!("{owner}-{which}-{turn}");
                    let by = Actor::default();
                    let kept = if which == "wiki" {
                        let key = Secret::new(mark);
                        stage.connections.put_key(by, &owner, &server, "Bearer ", &key).await
                    } else {
                        let held = stage.script.grant(&server.name, &mark, &[]);
                        stage.connections.connect(by, &owner, &server, &held).await
                    };
                    kept.unwrap();
                    truth.insert(entry, turn);
                }
                2 => {
                    stage.connections.disconnect(Actor::default(), &owner, &server.name).await.unwrap();
                    truth.remove(&entry);
                }
                3 => one.clock.advance(std::time::Duration::from_mins(dice.roll(90) as u64)),
                _ => {
                    let presented = stage.connections.credential(&server, &whom(who)).await;
                    match (truth.get(&entry), presented) {
                        (Some(turn), Ok(presented)) => {
                            let shown = super::stage::shown(&presented);
                            let mark = format!("{owner}-{which}-{turn}");
                            assert!(shown.contains(&mark), "seed {seed}: {who} at {which} got {shown}, not {mark}");
                            assert_eq!(presented.credential.holder(), Some(&owner));
                        }
                        (None, Err(Lack::Connect(_) | Lack::Refused(_))) => {}
                        (there, got) => panic!("seed {seed}, turn {turn}: {who} at {which}: {there:?}, {got:?}"),
                    }
                }
            }
            one.catch_up().await;
            two.catch_up().await;
        }
    }
}

// spec: T-51, T-44: a row that somebody moves to another holder or server opens nowhere.
#[tokio::test]
async fn what_is_sealed_for_one_opens_for_nobody_else() {
    let mut stage = Stage::new().await;
    stage.set_up(&servers());
    stage.connect("ada").await;
    let row = stage.row("ada").await.unwrap();
    assert!(stage.connections.open(&row).is_some());
    let moved = [
        portcullis_store::Connection { holder: holder("bob"), ..row.clone() },
        portcullis_store::Connection { holder: Holder::Shared, ..row.clone() },
        portcullis_store::Connection { server: ServerName::parse("files").unwrap(), ..row.clone() },
        portcullis_store::Connection { issuer: Some("https://other.example".into()), ..row.clone() },
        portcullis_store::Connection { issuer: None, ..row.clone() },
    ];
    for moved in moved {
        assert!(stage.connections.open(&moved).is_none(), "{} {}", moved.holder, moved.server);
    }
    let sealed = row.sealed.unwrap();
    assert!(!sealed.windows(6).any(|part| part == b"access"));
}
