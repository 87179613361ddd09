use std::time::Duration;

use futures::future::join_all;
use object_store::{ObjectStoreExt, memory::InMemory};

use super::*;
use crate::testing::{FaultyStore, token};

const LONG: Duration = Duration::from_secs(3600);

fn states() -> (Arc<dyn ObjectStore>, VersionStates) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    (store.clone(), VersionStates::new(store, "east".parse().unwrap(), "daily".parse().unwrap()))
}

fn expire() -> Change {
    Change::Expire { reason: "beyond keep last 3".to_owned() }
}

fn hold() -> Change {
    Change::Hold { reason: "audit".to_owned() }
}

fn undo() -> Change {
    Change::Undo
}

/// Collects what is expired at all.
fn collect() -> Change {
    Change::Collect { now: Timestamp::MAX, grace: LONG }
}

async fn change(states: &VersionStates, change: &Change) -> Result<VersionState, Refusal> {
    let env = Env::system();
    match states.change(VersionNumber(7), change, By { token: token(1), who: "ops", env: &env }).await {
        Ok(state) => Ok(state),
        Err(Error::Refused { version, refusal }) => {
            assert_eq!(version.to_string(), "east.daily.7");
            Err(refusal)
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_listing_that_lacks_a_record_is_an_error_and_not_a_loop() {
    let (store, states) = states();
    change(&states, &expire()).await.unwrap();
    let lagging: Arc<dyn ObjectStore> = Arc::new(FaultyStore::lagging(store, "/0000000001"));
    let lagging = VersionStates::new(lagging, "east".parse().unwrap(), "daily".parse().unwrap());
    let env = Env::system();
    let by = By { token: token(1), who: "ops", env: &env };
    let error = lagging.change(VersionNumber(7), &hold(), by).await.unwrap_err();
    assert!(matches!(error, Error::ListingLags { .. }) && error.is_retryable(), "{error}");
}

/// Changes before, the one that is tried, and what it comes to: expired, held and collected.
type Case = (&'static [fn() -> Change], Change, Result<(bool, bool, bool), Refusal>);

#[tokio::test]
async fn each_change_is_allowed_or_refused_by_the_state_before() {
    let held = || Refusal::Held { by: "ops".to_owned(), reason: "audit".to_owned() };
    let release = Change::Release;
    let unexpire = || Change::Unexpire { reason: "oops".to_owned() };
    let other = Change::Hold { reason: "legal".to_owned() };
    let table: &[Case] = &[
        (&[], expire(), Ok((true, false, false))),
        (&[expire], expire(), Ok((true, false, false))),
        (&[hold], expire(), Err(held())),
        (&[expire, collect], expire(), Err(Refusal::Collected)),
        (&[], Change::Undo, Err(Refusal::NotExpired)),
        (&[expire], Change::Undo, Ok((false, false, false))),
        (&[expire, hold], Change::Undo, Ok((false, true, false))),
        (&[expire, collect], Change::Undo, Err(Refusal::Collected)),
        (&[], unexpire(), Err(Refusal::NotExpired)),
        (&[hold], unexpire(), Err(Refusal::NotExpired)),
        (&[expire], unexpire(), Ok((false, true, false))),
        (&[expire, hold], unexpire(), Ok((false, true, false))),
        (&[expire, collect], unexpire(), Err(Refusal::Collected)),
        (&[hold], other.clone(), Err(held())),
        (&[expire, hold], other, Err(held())),
        (&[], hold(), Ok((false, true, false))),
        (&[expire], hold(), Ok((true, true, false))),
        (&[expire, collect], hold(), Err(Refusal::Collected)),
        (&[hold], release.clone(), Ok((false, false, false))),
        (&[expire, hold], release.clone(), Ok((true, false, false))),
        (&[], release.clone(), Ok((false, false, false))),
        (&[expire], collect(), Ok((true, false, true))),
        (&[expire, collect], collect(), Ok((true, false, true))),
        (&[], collect(), Err(Refusal::NotExpired)),
        (&[expire, hold], collect(), Err(held())),
        (&[expire, undo], collect(), Err(Refusal::NotExpired)),
    ];
    for (before, tried, expected) in table {
        let (_, states) = states();
        for step in *before {
            change(&states, &step()).await.unwrap();
        }
        let found = change(&states, tried).await;
        let found = found.map(|state| (state.expired.is_some(), state.hold.is_some(), state.collected));
        let before: Vec<_> = before.iter().map(|step| step()).collect();
        assert_eq!(&found, expected, "{before:?} then {tried:?}");
    }
}

#[tokio::test]
async fn a_change_that_is_made_already_writes_nothing_and_others_take_the_next_number() {
    let (store, states) = states();
    for step in [expire(), expire(), hold(), hold(), Change::Release, Change::Release] {
        change(&states, &step).await.unwrap();
    }
    let found = states.get(VersionNumber(7)).await.unwrap();
    assert_eq!((found.revision, found.expired.is_some(), found.hold), (3, true, None));
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    assert_eq!(listed.len(), 3);
}

#[tokio::test]
async fn a_hold_outlasts_other_words_until_it_is_released() {
    let (_, states) = states();
    let words = |state: VersionState| state.hold.map(|hold| hold.reason);
    let unexpire = || Change::Unexpire { reason: "oops".to_owned() };
    change(&states, &expire()).await.unwrap();
    change(&states, &hold()).await.unwrap();
    let back = change(&states, &unexpire()).await.unwrap();
    assert_eq!((back.is_visible(), words(back)), (true, Some("audit".to_owned())));
    change(&states, &Change::Hold { reason: "legal".to_owned() }).await.unwrap_err();
    assert_eq!(words(states.get(VersionNumber(7)).await.unwrap()).as_deref(), Some("audit"));
    change(&states, &Change::Release).await.unwrap();
    change(&states, &expire()).await.unwrap();
    let back = change(&states, &unexpire()).await.unwrap();
    assert_eq!((back.is_visible(), words(back)), (true, Some("oops".to_owned())), "so that no rule expires it again");
}

#[tokio::test]
async fn an_expiry_is_collected_after_the_grace_by_the_stores_clock() {
    let (_, states) = states();
    change(&states, &expire()).await.unwrap();
    let since = states.get(VersionNumber(7)).await.unwrap().since.unwrap();
    let until = after(since, LONG);
    let early = Change::Collect { now: after(since, LONG - Duration::from_micros(1)), grace: LONG };
    assert_eq!(change(&states, &early).await, Err(Refusal::Grace { until }));
    assert!(change(&states, &Change::Collect { now: until, grace: LONG }).await.unwrap().collected);
}

#[tokio::test]
async fn of_undo_hold_and_collect_at_the_same_time_those_win_that_may_follow_one_another() {
    for _ in 0..50 {
        let (_, states) = states();
        change(&states, &expire()).await.unwrap();
        let changes = [Change::Undo, collect(), hold(), collect(), Change::Undo];
        let done = join_all(changes.iter().map(|one| change(&states, one))).await;
        let found = states.get(VersionNumber(7)).await.unwrap();
        let undone = done[0].is_ok() || done[4].is_ok();
        let collected = done[1].is_ok() || done[3].is_ok();
        assert_eq!(found.collected, collected, "{done:?}");
        assert!(!(collected && (undone || done[2].is_ok())), "{done:?}");
    }
}

#[tokio::test]
async fn all_states_are_read_at_once_and_a_damaged_one_hides_no_other() {
    let (store, states) = states();
    let env = Env::system();
    let by = By { token: token(1), who: "ops", env: &env };
    for number in [1, 2, 9] {
        states.change(VersionNumber(number), &expire(), by).await.unwrap();
        states.change(VersionNumber(number), &hold(), by).await.unwrap();
    }
    for foreign in
        ["states/readme", "states/1/1", "states/00000000000000000001/1", "states2/00000000000000000004/0000000001"]
    {
        store.put(&Path::from(format!("sources/east/sets/daily/{foreign}")), "x".into()).await.unwrap();
    }
    let all = states.all().await.unwrap();
    assert_eq!(all.keys().map(|number| number.0).collect::<Vec<_>>(), [1, 2, 9]);
    assert!(all.values().all(|state| state.revision == 2 && state.hold.is_some() && !state.is_visible()));

    let path = layout::state(&states.source, &states.set, VersionNumber(2), 2);
    store.put(&path, "{}".into()).await.unwrap();
    let survey = states.survey(|_| true).await.unwrap();
    assert_eq!((survey.known.len(), survey.damaged.len()), (2, 1));
    let error = states.all().await.unwrap_err();
    assert!(error.to_string().contains(path.as_ref()) && !error.is_retryable(), "{error}");
    assert_eq!(states.survey(|number| number.0 != 2).await.unwrap().damaged.len(), 0);
    let other = layout::state(&states.source, &states.set, VersionNumber(1), 2);
    let bytes = store.get(&other).await.unwrap().bytes().await.unwrap();
    store.put(&path, bytes.into()).await.unwrap();
    assert!(matches!(states.get(VersionNumber(2)).await, Err(Error::Identity { .. })));
}
