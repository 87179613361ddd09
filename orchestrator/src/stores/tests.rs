//! What is known of a store against what is in it, on stores in memory.

use object_store::ObjectStoreExt as _;
use tidemark_catalog::{
    chain::{self, VersionSet},
    commit::{Claim, ManifestDraft},
    ids::{FencingToken, SetId, SourceId, VersionNumber},
    layout,
    manifest::{Holds, Version},
    repository,
    states::{By, Change, VersionStates},
};

mod lagging;

use super::*;
use crate::{
    coordinator::{Op, embedded::Embedded},
    generation,
    limits::LimitsSpec,
    registrations::CommitMode,
};
use lagging::Lagging;

struct Held;

impl Claim for Held {
    fn token(&self) -> FencingToken {
        FencingToken { generation: 1, revision: 1 }
    }

    fn holds(&self) -> bool {
        true
    }
}

/// A registered store in memory with an attached coordinator.
struct Bench {
    stores: Stores,
    store: OpenStore,
    source: SourceId,
    set: SetId,
    _state: tempfile::TempDir,
}

impl Bench {
    async fn new(name: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let coordinator: Arc<dyn crate::coordinator::Coordinator> =
            Arc::new(Embedded::open(state.path(), Env::system()).unwrap());
        let stores = Stores::new(Registrations::new(Arc::clone(&coordinator)), Env::system());
        let [name, url] = ["s".to_owned(), format!("memory:{name}")];
        let (repository, commit_mode) = (String::new(), CommitMode::AtomicCreate);
        let record = StoreRecord {
            name,
            url,
            credentials: None,
            listener_credentials: None,
            repository,
            commit_mode,
            checksums: false,
            limits: LimitsSpec::default(),
        };
        let mut store = stores.open_new(record).unwrap();
        store.record.repository =
            repository::create_or_open(&store.objects, &Env::system()).await.unwrap().id.to_string();
        let repository = store.record.repository.clone();
        generation::attach(&*coordinator, &repository, &store.objects, &Env::system()).await.unwrap();
        stores.learn(&store).await.unwrap();
        let [source, set] = ["east", "daily"];
        Self { stores, store, source: source.parse().unwrap(), set: set.parse().unwrap(), _state: state }
    }

    /// As another daemon does, or this one just before it is killed: nothing is recorded.
    async fn commit(&self, task: &str) {
        let set = VersionSet::new(Arc::clone(&self.store.objects), self.source.clone(), self.set.clone());
        let holds = Holds::Version(Box::new(Version::empty("fake")));
        let draft = ManifestDraft { task: task.to_owned(), node: "n".to_owned(), holds, in_order: false };
        set.commit(draft, &Held, &Env::system()).await.unwrap();
    }

    async fn prove(&self) -> Result<Option<u64>, Error> {
        self.stores.prove(&self.store, &self.source, &self.set).await?;
        let known = self.stores.known.head(&self.store.record.repository, &self.source, &self.set).await?;
        Ok(known.map(|head| head.number.0))
    }

    /// The same, of a store that lists nothing whose name ends so.
    fn lagging(&self, unlisted: &'static str) -> OpenStore {
        let objects = Arc::new(Lagging { inner: Arc::clone(&self.store.objects), unlisted });
        OpenStore { objects, ..self.store.clone() }
    }

    /// Writes what cannot be read in the place of what is known.
    async fn spoil(&self, what: &str) {
        let key = format!("known/{}/{what}", self.store.record.repository);
        let put = vec![Op::put(key, "?")];
        assert!(self.stores.known.coordinator().txn(vec![], put, vec![]).await.unwrap().succeeded);
    }

    async fn delete(&self, number: u64) {
        let path = layout::manifest(&self.source, &self.set, VersionNumber(number));
        self.store.objects.delete(&path).await.unwrap();
    }
}

#[tokio::test]
async fn a_chain_that_went_on_is_followed_and_recorded() {
    let bench = Bench::new("went-on").await;
    assert_eq!(bench.prove().await.unwrap(), None);
    for number in 1..4 {
        bench.commit(&format!("task-{number}")).await;
        bench.commit(&format!("other-{number}")).await;
        assert_eq!(bench.prove().await.unwrap(), Some(2 * number));
    }
    bench.delete(6).await;
    let error = bench.prove().await.unwrap_err();
    assert!(matches!(&error, Error::Chain { source, .. } if source.is_other_store()), "{error}");
}

#[tokio::test]
async fn a_set_that_ends_before_a_number_of_which_a_state_tells_was_put_back_whatever_is_known_of_it() {
    let bench = Bench::new("told").await;
    bench.commit("one").await;
    assert_eq!(bench.prove().await.unwrap(), Some(1));
    bench.commit("two").await;
    let (env, objects) = (Env::system(), Arc::clone(&bench.store.objects));
    let by = By { token: Held.token(), who: "ops", env: &env };
    let states = VersionStates::new(objects, bench.source.clone(), bench.set.clone());
    states.change(VersionNumber(2), &Change::Expire { reason: "test".to_owned() }, by).await.unwrap();
    bench.delete(2).await;
    for error in [bench.prove().await.unwrap_err(), bench.stores.prove_all(&bench.store).await.unwrap_err()] {
        assert!(matches!(&error, Error::Chain { source, .. } if source.is_other_store()), "{error}");
        let failure = crate::failure::Failure::from(error);
        assert!(failure.code == "TM-STORE-0113" && failure.hint.unwrap().contains("store accept"));
    }
    bench.stores.prove(&bench.store, &bench.source, &"other".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_chain_that_was_replaced_by_a_longer_one_is_damage_of_its_set() {
    let bench = Bench::new("replaced").await;
    bench.commit("one").await;
    assert_eq!(bench.prove().await.unwrap(), Some(1));
    bench.delete(1).await;
    for task in ["other", "others", "more"] {
        bench.commit(task).await;
    }
    let error = bench.prove().await.unwrap_err();
    assert!(matches!(&error, Error::DamagedEnd { source: chain::Error::HeadChanged { .. }, .. }), "{error}");
    let other: SetId = "other".parse().unwrap();
    bench.stores.prove(&bench.store, &bench.source, &other).await.unwrap();
    let damaged = bench.stores.prove_all(&bench.store).await.unwrap();
    assert!(damaged.len() == 1 && damaged[0].is_changed(), "{damaged:?}");
}

#[tokio::test]
async fn a_listing_that_lags_behind_is_asked_again_later_and_is_no_loss() {
    let bench = Bench::new("lags").await;
    bench.commit("one").await;
    bench.prove().await.unwrap();
    for unlisted in ["versions/00000000000000000001", "gen/00000000000000000001"] {
        let store = bench.lagging(unlisted);
        let error = bench.stores.prove(&store, &bench.source, &bench.set).await.unwrap_err();
        let failure = crate::failure::Failure::from(error);
        assert!(failure.retryable && failure.away.is_some() && failure.message.contains("lag"), "{failure:?}");
    }
    let store = bench.lagging("gen/00000000000000000001");
    bench.store.objects.put(&layout::generation(1), "another daemon's".into()).await.unwrap();
    let error = bench.stores.identify(&store).await.unwrap_err();
    assert!(matches!(error, Error::WentBack { generation: 1, .. }), "{error}");
    bench.store.objects.delete(&layout::generation(1)).await.unwrap();
    let error = bench.stores.identify(&store).await.unwrap_err();
    assert!(matches!(error, Error::WentBack { generation: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_generation_that_no_daemon_came_to_is_refused_and_not_remembered() {
    let bench = Bench::new("planted").await;
    let path = layout::generation(FencingToken::GREATEST_GENERATION);
    bench.store.objects.put(&path, "?".into()).await.unwrap();
    let failure = crate::failure::Failure::from(bench.stores.identify(&bench.store).await.unwrap_err());
    assert!(failure.code == "TM-STORE-0119" && !failure.retryable && failure.hint.is_some(), "{failure:?}");
    bench.store.objects.delete(&path).await.unwrap();
    bench.stores.identify(&bench.store).await.unwrap();
}

#[tokio::test]
async fn what_is_known_and_cannot_be_read_is_of_its_own_set_and_is_learnt_anew() {
    let bench = Bench::new("unreadable").await;
    bench.commit("one").await;
    bench.prove().await.unwrap();
    bench.spoil("head/east.daily").await;
    bench.spoil("head/east.gone").await;
    let error = bench.prove().await.unwrap_err();
    assert!(matches!(&error, Error::UnreadableHead { set, .. } if *set == bench.set), "{error}");
    let failure = crate::failure::Failure::from(error);
    assert!(failure.code == "TM-STORE-0120" && failure.hint.unwrap().contains("version repair east.daily --store s"));
    bench.stores.prove(&bench.store, &bench.source, &"other".parse().unwrap()).await.unwrap();
    let damaged = bench.stores.prove_all(&bench.store).await.unwrap();
    assert!(damaged.len() == 2 && damaged.iter().all(identity::Damaged::is_unknown), "{damaged:?}");
    bench.stores.learn(&bench.store).await.unwrap();
    assert!(bench.stores.prove_all(&bench.store).await.unwrap().is_empty());
    assert_eq!(bench.prove().await.unwrap(), Some(1));
    bench.spoil("generation").await;
    let error = bench.prove().await.unwrap_err();
    assert!(matches!(error, Error::UnreadableGeneration { .. }), "{error}");
    bench.stores.prove_again(&bench.store).await.unwrap();
    bench.stores.learn(&bench.store).await.unwrap();
    assert_eq!(bench.prove().await.unwrap(), Some(1));
}

#[tokio::test]
async fn a_head_never_goes_back() {
    let bench = Bench::new("head").await;
    bench.commit("one").await;
    bench.commit("two").await;
    bench.prove().await.unwrap();
    let set = VersionSet::new(Arc::clone(&bench.store.objects), bench.source.clone(), bench.set.clone());
    let (_, newest) = set.head().await.unwrap().unwrap();
    let older = chain::Head { number: VersionNumber(1), ..newest };
    bench.stores.committed(&bench.store, &bench.source, &bench.set, older).await.unwrap();
    assert_eq!(bench.prove().await.unwrap(), Some(2));
}

#[tokio::test]
async fn a_generation_of_another_daemon_is_recorded_and_missed_when_it_goes() {
    let bench = Bench::new("generations").await;
    let path = layout::generation(2);
    bench.store.objects.put(&path, "another daemon's".into()).await.unwrap();
    bench.stores.identify(&bench.store).await.unwrap();
    bench.store.objects.delete(&path).await.unwrap();
    let error = bench.stores.identify(&bench.store).await.unwrap_err();
    assert!(matches!(error, Error::WentBack { generation: 2, newest: 1, .. }), "{error}");
}

#[tokio::test]
async fn numbers_that_are_gone_are_found() {
    let bench = Bench::new("gone").await;
    for number in 1..7 {
        bench.commit(&format!("task-{number}")).await;
    }
    bench.delete(2).await;
    bench.delete(3).await;
    let set = bench.stores.prove(&bench.store, &bench.source, &bench.set).await.unwrap();
    assert_eq!(identity::gone(&set).await.unwrap(), [2, 3].map(VersionNumber));
}

#[tokio::test]
async fn a_store_that_says_nothing_is_waited_for_a_bounded_time_and_may_answer_later() {
    let silent = futures::future::pending::<Result<(), Error>>();
    let error = in_time("s".to_owned(), Duration::from_millis(1), silent).await.unwrap_err();
    assert!(matches!(&error, Error::Silent { name, .. } if name == "s"), "{error}");
    let failure = crate::failure::Failure::from(error);
    assert_eq!((failure.code.as_str(), failure.away), ("TM-STORE-0117", Some(crate::failure::Away::Store)));
    in_time("s".to_owned(), Duration::from_secs(60), async { Ok(()) }).await.unwrap();
}

fn record(credentials: Option<String>, listener_credentials: Option<String>) -> StoreRecord {
    let ([name, url, repository], commit_mode) =
        (["s", "s3://backups", ""].map(str::to_owned), CommitMode::AtomicCreate);
    let limits = LimitsSpec::default();
    StoreRecord { name, url, credentials, listener_credentials, repository, commit_mode, checksums: false, limits }
}

#[test]
fn listeners_get_their_own_keys_and_the_daemons_only_where_they_have_none() {
    let directory = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, format!("access_key_id={name}\nsecret_access_key=secret-of-{name}\n")).unwrap();
        Some(format!("file:{}", file.display()))
    };
    let ids = |record| {
        let secrets = listener_secrets(&record).unwrap();
        secrets.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    };
    assert_eq!(ids(record(key("daemon"), key("listener"))), ["listener", "secret-of-listener"]);
    assert_eq!(ids(record(key("daemon"), None)), ["daemon", "secret-of-daemon"]);
    assert!(ids(record(None, None)).is_empty());
}
