//! With needs blocks and without, the same is found, marked, kept and deleted.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;
use tidemark_gateway::{Env, fetch};

use super::{
    super::{
        super::race::world::Held,
        build::{Builder, Built},
    },
    *,
};
use crate::{
    chain::VersionSet,
    collect::{Sum, needs::Needs},
    ids::TaskId,
    marks::Key,
    names::Names,
    repair::Sealer,
    states::{By, Change, VersionStates},
    work::{self, WorkRoot},
};

/// Something that happens to a source.
#[derive(Clone, Debug)]
enum Step {
    Commit(&'static str),
    Change(u64, Change),
    /// Somebody reads a version, and is done or not.
    Pin(u64, bool),
    /// The newest manifest is damaged, and sealed; and given up, or not yet.
    Damage(bool),
    Advance(u64),
    Free,
    Mark,
    Sweep,
}

/// What becomes of a source, drawn by a seed.
fn history(seed: u64) -> Vec<Step> {
    let dice = Env::seeded(seed, Timestamp::UNIX_EPOCH);
    let roll = |sides: u64| dice.noise() % sides;
    let reason = || "test".to_owned();
    let mut steps = Vec::new();
    for _ in 0..60 {
        let old = 1 + roll(14);
        steps.push(match roll(22) {
            0..7 => Step::Commit(["daily", "daily", "kept"][roll(3) as usize]),
            7..10 => Step::Change(old, Change::Expire { reason: reason() }),
            10 => Step::Change(old, Change::Hold { reason: reason() }),
            11 => Step::Change(old, Change::Release),
            12 => Step::Change(old, Change::Undo),
            13 => Step::Pin(old, roll(2) == 0),
            14 => Step::Damage(roll(4) > 0),
            15 | 16 => Step::Advance(5 + roll(40)),
            17 => Step::Free,
            18 | 19 => Step::Mark,
            _ => Step::Sweep,
        });
        if let Some(Step::Sweep) = steps.last() {
            steps.insert(steps.len() - 1, Step::Advance(roll(2) * 12));
        }
    }
    steps.extend([Step::Advance(60), Step::Mark, Step::Advance(60), Step::Sweep, Step::Free, Step::Mark]);
    steps
}

/// What came of a step, for people.
async fn take(bench: &Bench, step: &Step, at: usize) -> String {
    let said = |error: &(dyn std::error::Error + 'static)| tidemark_gateway::causes::joined(error);
    match step {
        Step::Commit(set) => bench.commit(set, &format!("t-{at}")).await,
        Step::Change(number, change) => return changed(bench, *number, change).await,
        Step::Pin(number, done) => pin(bench, *number, *done, at).await,
        Step::Damage(give_up) => damage(bench, *give_up, at).await,
        Step::Advance(seconds) => bench.world.shared.advance(*seconds),
        Step::Free => return format!("{:?}", bench.free().await.map_err(|error| said(&error))),
        Step::Mark => {
            let marked = bench.mark().await.map_err(|error| said(&error));
            return format!("{:?}", marked.map(|round| round.map(|round| (round.number, round.objects, round.bytes))));
        }
        Step::Sweep => return format!("{:?}", bench.sweep().await.map_err(|error| said(&error))),
    }
    String::new()
}

async fn changed(bench: &Bench, number: u64, change: &Change) -> String {
    let states = VersionStates::new(bench.store.clone(), bench.world.source.clone(), "daily".parse().unwrap());
    let chain = daily(bench);
    if !chain.list().await.unwrap().contains(&VersionNumber(number)) {
        return "it is not there".to_owned();
    }
    let by = By { token: bench.world.claim_of(1), who: "ops", env: &bench.env };
    format!("{:?}", states.change(VersionNumber(number), change, by).await.map_err(|error| error.to_string()))
}

fn daily(bench: &Bench) -> VersionSet {
    VersionSet::new(bench.store.clone(), bench.world.source.clone(), "daily".parse().unwrap())
}

async fn pin(bench: &Bench, number: u64, done: bool, at: usize) {
    let (source, set) = (bench.world.source.clone(), "daily".parse::<SetId>().unwrap());
    let (token, task) = (bench.world.claim_of(1), format!("reader-{at}").parse::<TaskId>().unwrap());
    bench.world.with_task(&task, |task| (task.reads, task.done) = (true, done));
    let pins = vec![format!("{source}.{set}.{number}").parse().unwrap()];
    let root = WorkRoot { task, tokens: vec![token], pins, node: "n".to_owned(), written: bench.env.now() };
    work::write(&bench.store, &Names::new(source, token), &set, &root).await.unwrap();
}

async fn damage(bench: &Bench, give_up: bool, at: usize) {
    let chain = daily(bench);
    let Ok(Some((newest, _))) = chain.head().await else { return };
    bench.store.put(&chain.path(newest.number), format!("damaged {at}").into()).await.unwrap();
    let sealer = Sealer { task: format!("seal-{at}"), node: "n".to_owned() };
    chain.repair(&sealer, &Held(bench.world.claim_of(1)), &bench.env).await.unwrap();
    if give_up {
        let change = Change::Expire { reason: "damaged".to_owned() };
        changed(bench, newest.number.0, &change).await;
    }
}

/// Everything that is stored but the blocks, and what a survey says of it.
async fn all(bench: &Bench) -> (BTreeMap<String, Vec<u8>>, String) {
    let listed: Vec<_> = bench.store.list(None).try_collect().await.unwrap();
    let mut stored = BTreeMap::new();
    for meta in listed.iter().filter(|meta| !meta.location.as_ref().contains("/needs/")) {
        let bytes = fetch::get_unchecked(&bench.store, &meta.location).await.unwrap();
        stored.insert(meta.location.to_string(), bytes.to_vec());
    }
    let live = bench.live();
    let mut lines = BTreeMap::new();
    let mut note = |line: crate::collect::Line| drop(lines.insert(line.path.to_string(), line.class));
    let asked: BTreeSet<_> = ["east.daily.2", "east.daily.3"].map(|id| id.parse().unwrap()).into();
    let collector = bench.world.collector(&bench.store, &live, &bench.env);
    let survey = match collector.survey(&asked, &mut note).await {
        Ok(survey) => format!("{:?}", crate::collect::Survey { lasting: Sum::default(), ..survey }),
        Err(error) => tidemark_gateway::causes::joined(&error),
    };
    lines.retain(|name, _| !name.contains("/needs/"));
    (stored, format!("{survey} {lines:?}"))
}

#[tokio::test]
async fn whatever_happens_the_same_is_found_marked_and_deleted_with_blocks_and_without() {
    let (mut read, mut swept) = (0, 0);
    for seed in 0..40 {
        let numbers = 2 + seed % 3;
        let with = Bench::of(Off::Nothing, seed, numbers);
        let without = Bench::of(Off::Collector(Rule::Blocks), seed, numbers);
        for (at, step) in history(seed).iter().enumerate() {
            let (one, other) = (take(&with, step, at).await, take(&without, step, at).await);
            assert_eq!(one, other, "seed {seed}, step {at}, {step:?}");
            if matches!(step, Step::Free | Step::Mark | Step::Sweep) {
                assert_eq!(all(&with).await, all(&without).await, "seed {seed}, step {at}, {step:?}");
            }
            swept += u32::from(matches!(step, Step::Sweep) && one.contains("objects: ") && !one.contains("objects: 0"));
        }
        with.world.shared.count_blocks(|what, count| read += if what.ends_with("read") { count } else { 0 });
        assert!(without.blocks().await.is_empty());
    }
    println!("{read} blocks were read, {swept} rounds swept");
    assert!(read > 500 && swept > 40, "what is compared has to happen: {read} {swept}");
}

/// What each version needs, by its number.
type PerVersion = BTreeMap<u64, BTreeSet<(Key, Option<String>)>>;

fn per_version(built: &Built) -> PerVersion {
    let mut found: PerVersion = built.versions.iter().map(|told| (told.number.0, BTreeSet::new())).collect();
    for names in &built.needs {
        let object = names.object.map(|at| built.objects[at as usize].to_string());
        for place in names.versions.iter().flat_map(|(first, last)| *first..=*last) {
            let number = built.versions[place as usize].number.0;
            for key in super::super::stored::keys(&names.keys) {
                assert!(found.get_mut(&number).unwrap().insert((key, object.clone())), "told twice");
            }
        }
    }
    found
}

proptest! {
    #[test]
    fn a_block_of_blocks_tells_what_they_tell_of_what_is_not_gone(
        versions in prop::collection::vec(prop::collection::btree_map(0_u8..12, prop::option::of(0_u8..3), 0..8), 1..9),
        cut in 0_usize..9,
        gone in prop::collection::btree_set(1_u64..9, 0..4),
    ) {
        let store: std::sync::Arc<dyn ObjectStore> = std::sync::Arc::new(object_store::memory::InMemory::new());
        let mut needs = Needs::new(&store);
        let told = |number: u64| Told { number: VersionNumber(number), task: format!("t-{number}"), keeps_staged: false };
        let mut expected = PerVersion::new();
        let (mut whole, mut parts) = (Builder::default(), [Builder::default(), Builder::default()]);
        for (at, version) in versions.iter().enumerate() {
            let number = at as u64 + 1;
            let mut named = Vec::new();
            for (name, object) in version {
                let (key, object) = (Key::of(&name.to_string()), object.map(|object| format!("o{object}")));
                named.push((needs.name(key), object.as_ref().map(|object| needs.number(object.parse().unwrap()))));
                expected.entry(number).or_default().insert((key, object));
            }
            expected.entry(number).or_default();
            whole.tell(told(number), named.clone());
            parts[usize::from(at >= cut)].tell(told(number), named);
        }
        let whole = whole.finish(&needs);
        prop_assert_eq!(&per_version(&whole), &expected);
        let mut again = Builder::default();
        for part in parts {
            let built = part.finish(&needs);
            let numbers: Vec<_> = built.objects.iter().map(|object| needs.number(object.clone())).collect();
            let groups: Vec<_> = built.needs.iter().map(|names| super::super::Group {
                object: names.object.map(|at| numbers[at as usize]),
                places: names.versions.clone(),
                names: super::super::stored::keys(&names.keys).map(|key| needs.name(key)).collect(),
            }).collect();
            again.tell_again(&built.versions, &groups, |told| gone.contains(&told.number.0));
        }
        expected.retain(|number, _| !gone.contains(number));
        prop_assert_eq!(per_version(&again.finish(&needs)), expected);
    }
}
