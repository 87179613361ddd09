//! Generations: what keeps tokens rising when the coordinator's state is lost, or an older copy of it is put in its place.
//!
//! Revisions start anew with a new state directory, and those of an older copy come again, so a fencing token starts with a
//! generation. Each opening of the coordinator ([`Coordinator::opening`]) takes one in each store, when it reaches that store first: a
//! number that is not below the coordinator's own and above all that the store holds, written there create-only. So two openings
//! never have a token in common in one store, whatever state they were opened on.
//!
//! A number that is above the coordinator's own becomes that. The other stores then hold a lower one: they are given the new number
//! when they are reached next. A store that is away is no reason to wait: the others go on. What was claimed under a generation that
//! this opening did not take in a store writes nothing there, and is claimed anew ([`holds`]).
//!
//! Whoever can write to a store can write a number that no daemon has come to. It is refused before it makes the coordinator's own
//! rise, which all other stores would be given, and which cannot be taken back (`require_reachable`).
//!
//! What was taken is remembered under `generation/<repository>`. A crash in between leaves a number that nobody uses.
//!
//! The state of a cluster keeps its opening, and so what it took, until it is known to be lost or rolled back. A store shows it: a
//! generation, a version or a running task's root whose token is above all that the state has given ([`require_newest`]).

use std::{collections::BTreeSet, sync::Arc};

use futures::TryStreamExt as _;
use jiff::Timestamp;
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize};
use tidemark_catalog::{
    chain::{self, VersionSet},
    document::{self, Document},
    find,
    ids::FencingToken,
    layout,
};
use tidemark_gateway::{Digest, Env, fetch, retry};

use crate::coordinator::{self, Cmp, Coordinator, Kv, Op};

/// Greatest generation that a store may make a coordinator take. What is left above it, below the greatest of a token, is for those
/// that follow: one with each opening.
const GREATEST_OF_A_STORE: u64 = 9_000_000_000;

/// How far above a coordinator's own a store's may be beyond that: it was given by this coordinator, or a copy of it.
const OPENINGS: u64 = 1_000_000;

/// Why no generation could be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The coordinator failed.
    #[error("record the generation")]
    Coordinator(#[source] coordinator::Error),
    /// The coordinator's state is older than what was done under it.
    #[error(
        "the store shows token {shown}, and the coordinator is at {now}: its state was rolled back, and is opened anew"
    )]
    RolledBack {
        /// The highest token in the store.
        shown: FencingToken,
        /// The coordinator's generation and revision, read after it.
        now: FencingToken,
    },
    /// A store cannot be listed.
    #[error("list generations")]
    List(#[source] object_store::Error),
    /// Sources or sets of a store cannot be listed.
    #[error("find the version sets of the store")]
    Find(#[from] find::Error),
    /// The end of a chain cannot be read.
    #[error("find the newest token of the store")]
    Chain(#[from] chain::Error),
    /// A store holds a number that no coordinator comes to.
    #[error("generation {number}, below gen/ or in the newest manifest of a set, is none that a daemon has come to")]
    TooHigh {
        /// The number.
        number: u64,
    },
    /// A number that is known to be there is not listed: the store's listings lag behind its writes, and prove nothing.
    #[error("generation {number} is there, and the store does not list it: its listings lag behind its writes")]
    ListingLags {
        /// The number.
        number: u64,
    },
    /// A number that is listed cannot be read.
    #[error("read generation {number}")]
    Read {
        /// The number.
        number: u64,
        /// Why.
        source: fetch::Error,
    },
    /// A number cannot be written.
    #[error("write generation {number}")]
    Write {
        /// The number.
        number: u64,
        /// Why.
        source: document::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Coordinator(_) | Self::RolledBack { .. } | Self::ListingLags { .. } => true,
            Self::TooHigh { .. } => false,
            Self::List(source) => retry::is_transient(source),
            Self::Find(source) => source.is_retryable(),
            Self::Chain(source) => source.is_retryable(),
            Self::Read { source, .. } => source.is_retryable(),
            Self::Write { source, .. } => source.is_retryable(),
        }
    }

    /// True where the store answers, and the number is not there.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.is_absent())
    }
}

/// Refuses a generation in a store that no coordinator comes to; `own` is this one's.
///
/// # Errors
/// [`Error::TooHigh`].
pub(crate) fn require_reachable(number: u64, own: u64) -> Result<(), Error> {
    let greatest = GREATEST_OF_A_STORE.max(own.saturating_add(OPENINGS)).min(FencingToken::GREATEST_GENERATION);
    if number < greatest { Ok(()) } else { Err(Error::TooHigh { number }) }
}

/// What was taken in a repository, as the coordinator remembers it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Taken {
    /// By which opening.
    opening: String,
    /// The numbers; they are in the store, and no other opening has them.
    numbers: BTreeSet<u64>,
}

/// Makes sure that this opening has taken the coordinator's generation in `store`, which may raise it; the generation then.
///
/// # Errors
/// [`Error`]; the same call is safe after any of them.
pub async fn attach(
    coordinator: &dyn Coordinator,
    repository: &str,
    store: &Arc<dyn ObjectStore>,
    env: &Env,
) -> Result<u64, Error> {
    let current = coordinator.generation();
    if holds(coordinator, repository, current).await? {
        return Ok(current);
    }
    let lowest = if known(coordinator, repository).await?.is_some() {
        // Every generation that wrote to a store is in it.
        newest(store).await? + 1
    } else {
        lowest_new(store).await?
    };
    take(coordinator, repository, store, lowest, Keep::Numbers, env).await
}

/// Takes a generation that is new in `store` and here: whatever was claimed before is fenced by what is committed under it, and
/// writes nothing to the store any more.
///
/// # Errors
/// As [`attach`].
pub async fn renew(
    coordinator: &dyn Coordinator,
    repository: &str,
    store: &Arc<dyn ObjectStore>,
    env: &Env,
) -> Result<u64, Error> {
    let lowest = lowest_new(store).await?.max(coordinator.generation() + 1);
    take(coordinator, repository, store, lowest, Keep::Nothing, env).await
}

/// Refuses to go on with a shared state that is older than what a store shows, and says so to all that opened it. Of a state that took
/// no generation there a store shows nothing.
///
/// # Errors
/// [`Error::RolledBack`]; as [`attach`].
pub async fn require_newest(
    coordinator: &dyn Coordinator,
    repository: &str,
    store: &Arc<dyn ObjectStore>,
) -> Result<(), Error> {
    if coordinator.cluster().is_none() || taken(coordinator, repository).await?.is_empty() {
        return Ok(());
    }
    let shown = shown(store).await?;
    // Others go on meanwhile: what the coordinator says is read after what the store does.
    let (_, revision) = coordinator.list("generation/", 1, None).await.map_err(Error::Coordinator)?;
    let highest = taken(coordinator, repository).await?.last().copied().unwrap_or(0);
    let now = FencingToken { generation: coordinator.generation().max(highest), revision };
    if shown <= now {
        return Ok(());
    }
    coordinator.rolled_back().await.map_err(Error::Coordinator)?;
    Err(Error::RolledBack { shown, now })
}

/// The highest token of what a store holds: generations, newest manifests, roots of tasks.
async fn shown(store: &Arc<dyn ObjectStore>) -> Result<FencingToken, Error> {
    let mut highest = FencingToken { generation: newest(store).await?, revision: 0 };
    for source in find::sources(store).await? {
        for set in find::sets(store, &source).await? {
            let roots = store.list_with_delimiter(Some(&layout::work(&source, &set))).await.map_err(Error::List)?;
            let tokens = roots.common_prefixes.iter().filter_map(|root| root.filename()?.parse().ok());
            let chain = VersionSet::new(Arc::clone(store), source.clone(), set);
            let newest = chain.newest_readable().await?.map(|manifest| manifest.token);
            highest = tokens.chain(newest).fold(highest, FencingToken::max);
        }
    }
    Ok(highest)
}

/// True where this opening has taken a generation in a repository: what is claimed under it may write there.
///
/// # Errors
/// [`Error::Coordinator`].
pub async fn holds(coordinator: &dyn Coordinator, repository: &str, generation: u64) -> Result<bool, Error> {
    Ok(taken(coordinator, repository).await?.contains(&generation))
}

/// The generations that this opening has taken in a repository.
///
/// # Errors
/// [`Error::Coordinator`].
pub(crate) async fn taken(coordinator: &dyn Coordinator, repository: &str) -> Result<BTreeSet<u64>, Error> {
    Ok(own(coordinator, known(coordinator, repository).await?.as_ref()).numbers)
}

fn key(repository: &str) -> String {
    format!("generation/{repository}")
}

async fn known(coordinator: &dyn Coordinator, repository: &str) -> Result<Option<Kv>, Error> {
    coordinator.get(&key(repository)).await.map_err(Error::Coordinator)
}

/// What this opening has taken; nothing where it was another one, or a build that remembered a number alone.
fn own(coordinator: &dyn Coordinator, known: Option<&Kv>) -> Taken {
    let taken = known.and_then(|kv| serde_json::from_slice::<Taken>(&kv.value).ok());
    let none = || Taken { opening: coordinator.opening().to_owned(), numbers: BTreeSet::new() };
    taken.filter(|taken| taken.opening == coordinator.opening()).unwrap_or_else(none)
}

/// What is still taken once another number is.
#[derive(Clone, Copy)]
enum Keep {
    /// All that this opening took before.
    Numbers,
    /// Nothing.
    Nothing,
}

/// Takes the lowest number that is free in `store`, from `lowest` and the coordinator's own on.
async fn take(
    coordinator: &dyn Coordinator,
    repository: &str,
    store: &Arc<dyn ObjectStore>,
    lowest: u64,
    keep: Keep,
    env: &Env,
) -> Result<u64, Error> {
    let mine = coordinator.generation();
    let mut number = lowest.max(mine);
    loop {
        // The greatest one that is there is below the one that is taken.
        require_reachable(number - 1, mine)?;
        if claim(number, store, env).await? {
            break;
        }
        number += 1;
    }
    coordinator.raise_generation(number).await.map_err(Error::Coordinator)?;
    loop {
        let known = known(coordinator, repository).await?;
        let mut taken = own(coordinator, known.as_ref());
        if matches!(keep, Keep::Nothing) {
            taken.numbers.clear();
        }
        taken.numbers.insert(number);
        let bytes = serde_json::to_vec(&taken).expect("numbers and a text are plain data");
        let when = vec![Cmp::ModRevision(key(repository), known.map_or(0, |kv| kv.mod_revision))];
        let put = vec![Op::put(key(repository), bytes)];
        if coordinator.txn(when, put, vec![]).await.map_err(Error::Coordinator)?.succeeded {
            return Ok(number);
        }
    }
}

/// A generation, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Generation {
    generation: u64,
    /// 16 random bytes, hexadecimal: two coordinators never write the same bytes.
    nonce: String,
    created: Timestamp,
}

impl Document for Generation {
    const KIND: &'static str = "generation";
}

/// Writes the number; false where another coordinator, or another opening of this one, has it.
async fn claim(number: u64, store: &Arc<dyn ObjectStore>, env: &Env) -> Result<bool, Error> {
    let nonce = hex::encode(env.random::<16>());
    let taken = Generation { generation: number, nonce, created: env.now() };
    match document::write(store, &layout::generation(number), &taken).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_taken() => Ok(false),
        Err(source) => Err(Error::Write { number, source }),
    }
}

/// The highest generation that a store holds; 0 where it holds none.
///
/// # Errors
/// [`Error::List`].
pub(crate) async fn newest(store: &Arc<dyn ObjectStore>) -> Result<u64, Error> {
    Ok(listed(store).await?.last().copied().unwrap_or(0))
}

/// All generations that a store holds.
///
/// # Errors
/// [`Error::List`].
pub(crate) async fn listed(store: &Arc<dyn ObjectStore>) -> Result<BTreeSet<u64>, Error> {
    let listed = store.list(Some(&Path::from("gen")));
    let numbers = listed
        .try_filter_map(|object| async move { Ok(object.location.filename().and_then(layout::generation_number)) });
    numbers.try_collect().await.map_err(Error::List)
}

/// BLAKE3 of what is stored of a generation.
///
/// # Errors
/// [`Error::Read`].
pub(crate) async fn digest(store: &Arc<dyn ObjectStore>, number: u64) -> Result<Digest, Error> {
    let bytes = fetch::get_unchecked(store, &layout::generation(number)).await;
    bytes.map(|bytes| Digest::of(&bytes)).map_err(|source| Error::Read { number, source })
}

/// The lowest number above all that a store holds or that its newest manifests carry.
async fn lowest_new(store: &Arc<dyn ObjectStore>) -> Result<u64, Error> {
    Ok(newest(store).await?.max(newest_token(store).await?) + 1)
}

/// The highest generation in the newest manifests of a store. A set whose newest manifest is damaged is passed over: should its
/// token be higher, what is committed to that set is fenced, and nothing is lost.
async fn newest_token(store: &Arc<dyn ObjectStore>) -> Result<u64, Error> {
    let mut highest = 0;
    for source in find::sources(store).await? {
        for set in find::sets(store, &source).await? {
            // Damage hides no generation: the name of each is below `gen/` as well.
            let newest = VersionSet::new(Arc::clone(store), source.clone(), set).newest_readable().await?;
            highest = highest.max(newest.map_or(0, |manifest| manifest.token.generation));
        }
    }
    Ok(highest)
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt as _, memory::InMemory};

    use super::*;
    use crate::coordinator::embedded::Embedded;

    fn state() -> (Embedded, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        (Embedded::open(directory.path(), Env::system()).unwrap(), directory)
    }

    fn store() -> Arc<dyn ObjectStore> {
        Arc::new(InMemory::new())
    }

    async fn attached(coordinator: &Embedded, name: &str, store: &Arc<dyn ObjectStore>) -> u64 {
        attach(coordinator, name, store, &Env::system()).await.unwrap()
    }

    #[tokio::test]
    async fn a_new_state_has_a_higher_generation_than_the_one_that_was_lost() {
        let bucket = store();
        for expected in 1..4 {
            let (coordinator, _directory) = state();
            assert_eq!(attached(&coordinator, "r", &bucket).await, expected);
            assert_eq!(attached(&coordinator, "r", &bucket).await, expected);
        }
    }

    #[tokio::test]
    async fn each_opening_of_one_state_takes_a_generation_once() {
        let (bucket, directory) = (store(), tempfile::tempdir().unwrap());
        for expected in 1..4 {
            let coordinator = Embedded::open(directory.path(), Env::system()).unwrap();
            assert!(!holds(&coordinator, "r", coordinator.generation()).await.unwrap());
            assert_eq!(attached(&coordinator, "r", &bucket).await, expected);
            assert_eq!(attached(&coordinator, "r", &bucket).await, expected);
            assert_eq!(taken(&coordinator, "r").await.unwrap(), BTreeSet::from([expected]));
        }
        assert_eq!(listed(&bucket).await.unwrap(), BTreeSet::from([1, 2, 3]));
    }

    #[tokio::test]
    async fn a_copy_of_a_state_never_has_a_generation_of_the_other_in_a_store() {
        let (one, two, env) = (store(), store(), Env::system());
        let (directory, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let original = Embedded::open(directory.path(), env.clone()).unwrap();
        attached(&original, "one", &one).await;
        drop(original);
        std::fs::copy(directory.path().join("coordinator.redb"), copy.path().join("coordinator.redb")).unwrap();
        let (original, copy) = [&directory, &copy].map(|at| Embedded::open(at.path(), env.clone()).unwrap()).into();
        // Each raises its generation in another store first, so that both have the same number.
        assert_eq!((attached(&original, "one", &one).await, attached(&copy, "two", &two).await), (2, 1));
        assert_eq!((attached(&original, "two", &two).await, attached(&copy, "one", &one).await), (2, 3));
        let both = [taken(&original, "one").await.unwrap(), taken(&copy, "one").await.unwrap()];
        assert_eq!(both, [BTreeSet::from([2]), BTreeSet::from([3])]);
        assert_eq!((attached(&original, "one", &one).await, attached(&copy, "two", &two).await), (2, 3));
        assert!(!holds(&copy, "one", 2).await.unwrap());
    }

    #[tokio::test]
    async fn a_generation_that_rose_is_given_to_each_store_when_it_is_reached_and_both_stay_taken() {
        let (one, two) = (store(), store());
        for _ in 0..5 {
            attached(&state().0, "two", &two).await;
        }
        let (coordinator, _directory) = state();
        assert_eq!(attached(&coordinator, "one", &one).await, 1);
        assert_eq!(attached(&coordinator, "two", &two).await, 6);
        assert_eq!(listed(&one).await.unwrap(), BTreeSet::from([1]), "it is not reached yet");
        assert_eq!(attached(&coordinator, "one", &one).await, 6);
        assert_eq!(taken(&coordinator, "one").await.unwrap(), BTreeSet::from([1, 6]));
        assert_eq!(attached(&state().0, "one", &one).await, 7);
    }

    #[tokio::test]
    async fn a_renewed_generation_is_above_all_and_what_was_taken_before_is_not_any_more() {
        let (one, env) = (store(), Env::system());
        let (coordinator, _directory) = state();
        attached(&coordinator, "one", &one).await;
        assert_eq!(renew(&coordinator, "one", &one, &env).await.unwrap(), 2);
        assert_eq!(taken(&coordinator, "one").await.unwrap(), BTreeSet::from([2]));
        assert_eq!((newest(&one).await.unwrap(), attached(&coordinator, "one", &one).await), (2, 2));
    }

    #[tokio::test]
    async fn foreign_names_are_no_generations() {
        let one = store();
        for name in ["3", "+0000000000000000009", "99999999999999999999", "00000000010000000000", "readme"] {
            object_store::ObjectStoreExt::put(&one, &Path::from(format!("gen/{name}")), "x".into()).await.unwrap();
        }
        assert_eq!(newest(&one).await.unwrap(), 0);
        object_store::ObjectStoreExt::put(&one, &layout::generation(4), "x".into()).await.unwrap();
        assert_eq!(attached(&state().0, "one", &one).await, 5);
    }

    #[tokio::test]
    async fn a_number_that_no_daemon_came_to_is_refused_before_anything_rises() {
        let (coordinator, _directory) = state();
        let other = store();
        for planted in [FencingToken::GREATEST_GENERATION, GREATEST_OF_A_STORE + 7, GREATEST_OF_A_STORE] {
            let hostile = store();
            object_store::ObjectStoreExt::put(&hostile, &layout::generation(planted), "x".into()).await.unwrap();
            let refused = [
                attach(&coordinator, "hostile", &hostile, &Env::system()).await,
                renew(&coordinator, "hostile", &hostile, &Env::system()).await,
            ];
            for error in refused.map(Result::unwrap_err) {
                assert!(matches!(error, Error::TooHigh { number } if number == planted), "{error}");
                assert!(!error.is_retryable());
            }
            assert_eq!(listed(&hostile).await.unwrap(), BTreeSet::from([planted]), "nothing is written");
        }
        assert_eq!(coordinator.generation(), 0, "nothing rose");
        assert_eq!(attached(&coordinator, "other", &other).await, 1);
    }

    #[tokio::test]
    async fn the_highest_number_that_a_store_may_have_leaves_room_for_those_that_follow() {
        let (hostile, other, directory) = (store(), store(), tempfile::tempdir().unwrap());
        let planted = layout::generation(GREATEST_OF_A_STORE - 1);
        object_store::ObjectStoreExt::put(&hostile, &planted, "x".into()).await.unwrap();
        for opening in 0..3 {
            let coordinator = Embedded::open(directory.path(), Env::system()).unwrap();
            for (name, store) in [("hostile", &hostile), ("other", &other)] {
                assert_eq!(attached(&coordinator, name, store).await, GREATEST_OF_A_STORE + opening);
            }
            assert_eq!(newest(&other).await.unwrap(), GREATEST_OF_A_STORE + opening, "it is listed");
        }
    }

    #[tokio::test]
    async fn a_token_that_no_daemon_came_to_makes_nothing_rise_either() {
        let (coordinator, _directory) = state();
        let hostile = store();
        let manifest = |generation: &str| {
            format!(
                r#"{{"document":"manifest","format":2,"body":{{"source":"s","set":"d","number":1,"previous":null,"token":"{generation}-00000000000000000001","nonce":"00","task":"t","node":"n","committed":"2026-01-01T00:00:00Z","holds":{{"holds":"barrier","reason":"r"}},"authenticator":null}}}}"#
            )
        };
        let path =
            layout::manifest(&"s".parse().unwrap(), &"d".parse().unwrap(), tidemark_catalog::ids::VersionNumber(1));
        for (generation, taken) in [("18446744073709551615", Some(1)), ("9999999999", None), ("0000000041", Some(42))] {
            hostile.put(&path, manifest(generation).into()).await.unwrap();
            let attached = attach(&coordinator, generation, &hostile, &Env::system()).await;
            match taken {
                Some(taken) => assert_eq!(attached.unwrap(), taken),
                None => assert!(matches!(attached, Err(Error::TooHigh { number: 9_999_999_999 })), "{attached:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_higher_generation_is_taken_along_to_a_store_that_knows_lower_ones() {
        let (one, two) = (store(), store());
        let (coordinator, _directory) = state();
        coordinator.raise_generation(9).await.unwrap();
        assert_eq!(attached(&coordinator, "one", &one).await, 9);
        assert_eq!(attached(&coordinator, "two", &two).await, 9);
        assert_eq!(newest(&two).await.unwrap(), 9);
    }

    #[tokio::test]
    async fn what_an_earlier_build_remembered_is_of_no_opening_and_a_damaged_set_stops_nothing() {
        let bucket = store();
        let (coordinator, _directory) = state();
        coordinator.txn(vec![], vec![Op::put("generation/r", "1")], vec![]).await.unwrap();
        let manifest =
            layout::manifest(&"s".parse().unwrap(), &"d".parse().unwrap(), tidemark_catalog::ids::VersionNumber(1));
        bucket.put(&manifest, "?".into()).await.unwrap();
        assert_eq!(attached(&coordinator, "r", &bucket).await, 1);
        assert_eq!(attached(&state().0, "other", &bucket).await, 2);
    }
}
