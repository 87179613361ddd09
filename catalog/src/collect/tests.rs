mod bench;
mod lagging;
mod lost;

pub(super) use bench::Bench;

use std::collections::BTreeMap;

use object_store::ObjectStoreExt;

use super::{
    race::world::{AGES, Held, Off},
    *,
};
use crate::{
    ids::{FencingToken, VersionNumber},
    layout,
    manifest::Version,
    states::Change,
    testing::{self, token},
};

#[tokio::test]
async fn what_a_survey_says_that_deleting_frees_is_what_collecting_frees() {
    let bench = Bench::new();
    for task in ["one", "two", "three", "four"] {
        bench.commit("daily", task).await;
    }
    bench.collect().await;
    let (before, _) = bench.survey(&[]).await;
    assert!(before.versions.objects > 0 && before.versions.bytes > 0, "{before:?}");
    assert_eq!(before.frees, Sum::default(), "nothing was asked for");
    for version in ["east.daily.1", "east.daily.2", "east.daily.3"] {
        let (survey, _) = bench.survey(&[version]).await;
        let alone = survey.alone.get(&version.parse().unwrap()).copied().unwrap_or_default();
        assert_eq!(alone, survey.frees);
        bench.expire(version).await;
        assert_eq!(bench.collect().await, 0, "its expiry can still be undone");
        bench.world.shared.advance(12);
        assert_eq!(bench.collect().await, alone.bytes, "{version}");
    }
    let (all, _) = bench.survey(&["east.daily.4"]).await;
    assert_eq!(all.frees, all.versions, "it needs all that is left");
    assert_eq!(all.by_object.len(), 1);
}

#[tokio::test]
async fn a_survey_says_of_each_object_what_it_serves() {
    let bench = Bench::new();
    for (set, task) in [("daily", "one"), ("daily", "two"), ("daily", "three"), ("kept", "four")] {
        bench.commit(set, task).await;
    }
    bench.store.put(&Path::from("sources/east/pages/readme"), "x".into()).await.unwrap();
    bench.store.put(&layout::staged_check(&bench.world.source), "x".into()).await.unwrap();
    let stray = layout::segment(&bench.world.source, token(999), 0);
    bench.store.put(&stray, "x".into()).await.unwrap();
    let page = |lines: &BTreeMap<String, Class>, of: &str| {
        let of: VersionId = of.parse().unwrap();
        lines.values().any(|class| match class {
            Class::Versions { first, .. } => *first == of,
            Class::Expired { version, .. } | Class::Pinned { version } => *version == of,
            _ => false,
        })
    };
    bench.expire("east.daily.1").await;
    let (survey, lines) = bench.survey(&[]).await;
    let of = |name: &str| lines.get(name).cloned();
    assert_eq!(of("sources/east/pages/readme"), Some(Class::Foreign));
    assert_eq!(of("sources/east/staged/check/listener"), Some(Class::Lasting));
    assert!(matches!(of(stray.as_ref()), Some(Class::Young { .. })));
    assert!(page(&lines, "east.daily.1") && page(&lines, "east.daily.2") && page(&lines, "east.kept.1"));
    assert!(survey.expired.objects > 0);
    assert_eq!(survey.total().objects as usize, lines.len());
    let staged = |task: &str| lines.iter().find(|(name, _)| name.contains(&format!("/staged/{task}/"))).unwrap().1;
    let done = Class::Garbage { why: Why::TaskDone { task: "one".parse().unwrap() } };
    assert_eq!(staged("one"), &done);
    assert_eq!(staged("four"), &Class::Staged { version: "east.kept.1".parse().unwrap() });
    bench.world.with_task(&"one".parse().unwrap(), |task| task.done = false);
    let (_, lines) = bench.survey(&[]).await;
    let staged = lines.iter().find(|(name, _)| name.contains("/staged/one/")).unwrap().1;
    assert_eq!(staged, &Class::Task { task: "one".parse().unwrap() });
}

#[tokio::test]
async fn what_is_over_is_going_before_a_collection_has_recorded_it() {
    let bench = Bench::new();
    for task in ["one", "two", "three"] {
        bench.commit("daily", task).await;
    }
    bench.collect().await;
    for version in ["east.daily.1", "east.daily.2"] {
        bench.expire(version).await;
    }
    bench.change("east.daily.2", Change::Hold { reason: "audit".to_owned() }).await;
    bench.world.shared.advance(9);
    let (waiting, _) = bench.survey(&[]).await;
    assert_eq!((waiting.garbage, waiting.expired.objects > 0), (Sum::default(), true), "it can be undone");
    bench.world.shared.advance(1);
    let (over, lines) = bench.survey(&[]).await;
    let collected = |class: &Class| match class {
        Class::Garbage { why: Why::Collected { version } } => Some(version.to_string()),
        _ => None,
    };
    let going: std::collections::BTreeSet<_> = lines.values().filter_map(collected).collect();
    assert_eq!(going.into_iter().collect::<Vec<_>>(), ["east.daily.1"]);
    assert!(over.expired.objects > 0, "what is held stays");
    let asked = bench.survey(&["east.daily.1"]).await.0;
    assert_eq!(asked.frees.bytes, over.garbage.bytes, "who asks about it is answered");
    let collected = bench.collect().await;
    assert!(collected > 0);
    assert_eq!(over.garbage.bytes, collected);
}

#[tokio::test]
async fn staged_files_go_with_the_commit_unless_their_task_runs_or_their_set_keeps_them() {
    let bench = Bench::new();
    for (set, task) in [("daily", "one"), ("daily", "two"), ("kept", "three")] {
        bench.commit(set, task).await;
    }
    bench.world.with_task(&"two".parse().unwrap(), |task| task.done = false);
    let freed = bench.free().await.unwrap();
    assert_eq!(freed.objects, 1);
    let staged: Vec<_> = bench.names().await.into_iter().filter(|name| name.contains("/staged/")).collect();
    assert!(staged.len() == 2 && !staged.iter().any(|name| name.contains("/one/")), "{staged:?}");
}

#[tokio::test]
async fn graces_are_kept_and_a_hold_keeps_what_is_expired() {
    let bench = Bench::new();
    for task in ["one", "two"] {
        bench.commit("daily", task).await;
    }
    bench.collect().await;
    bench.expire("east.daily.1").await;
    bench.world.shared.advance(9);
    assert_eq!(bench.mark().await.unwrap(), None, "it can be undone");
    bench.change("east.daily.1", Change::Hold { reason: "audit".to_owned() }).await;
    bench.world.shared.advance(500);
    assert_eq!(bench.mark().await.unwrap(), None, "it is held");
    bench.change("east.daily.1", Change::Release).await;
    bench.world.shared.advance(10);
    let round = bench.mark().await.unwrap().expect("nothing keeps it");
    assert_eq!(bench.mark().await.unwrap(), Some(round), "a round that is not swept is the round");
    bench.world.shared.advance(9);
    assert_eq!(bench.sweep().await.unwrap(), None, "the marks are young");
    bench.world.shared.advance(1);
    assert!(bench.sweep().await.unwrap().unwrap().objects > 0);
    assert_eq!(bench.sweep().await.unwrap(), None, "it was swept");
}

#[tokio::test]
async fn damage_stops_the_collection_by_name_and_deletes_nothing() {
    for damaged in ["pages/", "sets/daily/versions/00000000000000000002", "sets/daily/work/", "sets/daily/states/"] {
        let bench = Bench::new();
        for task in ["one", "two", "three"] {
            bench.commit("daily", task).await;
        }
        bench.expire("east.daily.1").await;
        bench.world.shared.advance(12);
        let names = bench.names().await;
        let (_, lines) = bench.survey(&[]).await;
        let needed = |name: &&String| !matches!(lines[*name], Class::Garbage { .. } | Class::Young { .. });
        let prefix = format!("sources/east/{damaged}");
        // The last page that is needed is one that leads to others.
        let mut found = names.iter().rev().filter(|name| name.starts_with(&prefix));
        let victim = found.find(|name| damaged.starts_with("sets/") || needed(name)).unwrap().clone();
        bench.store.put(&Path::from(victim.as_str()), "damaged".into()).await.unwrap();
        let error = bench.mark().await.unwrap_err();
        let words = tidemark_gateway::causes::joined(&error);
        assert!(words.contains(&victim) && !error.is_retryable(), "{victim}: {words}");
        // The expiry that was over is recorded first.
        let recorded = usize::from(damaged != "sets/daily/states/");
        assert_eq!(bench.names().await.len(), names.len() + recorded, "{victim}");
    }
}

#[tokio::test]
async fn a_damaged_version_that_is_given_up_stands_in_nobodys_way() {
    let bench = Bench::new();
    for task in ["one", "two", "three"] {
        bench.commit("daily", task).await;
    }
    let damaged = layout::manifest(&bench.world.source, &"daily".parse().unwrap(), VersionNumber(1));
    bench.store.put(&damaged, "damaged".into()).await.unwrap();
    assert!(matches!(bench.mark().await, Err(Error::Chain { .. })));
    bench.expire("east.daily.1").await;
    bench.world.shared.advance(9);
    assert!(matches!(bench.mark().await, Err(Error::Chain { .. })), "it can be undone");
    bench.world.shared.advance(1);
    let round = bench.mark().await.unwrap().expect("what it alone needed");
    assert!(round.head.gone.contains(&"daily".parse().unwrap(), VersionNumber(1)));
    bench.world.shared.advance(12);
    assert!(bench.sweep().await.unwrap().unwrap().objects > 0);
    bench.free().await.unwrap();
    let (survey, _) = bench.survey(&[]).await;
    assert!(survey.versions.objects > 0);
}

#[tokio::test]
async fn a_version_whose_manifest_changed_and_can_be_read_is_named_and_can_be_given_up() {
    let bench = Bench::new();
    for task in ["one", "two", "three", "four"] {
        bench.commit("daily", task).await;
    }
    let path = layout::manifest(&bench.world.source, &"daily".parse().unwrap(), VersionNumber(2));
    let stored = tidemark_gateway::fetch::get_unchecked(&bench.store, &path).await.unwrap();
    let changed = String::from_utf8(stored.to_vec()).unwrap().replace("\"node\":\"n\"", "\"node\":\"m\"");
    bench.store.put(&path, changed.into()).await.unwrap();
    let error = bench.mark().await.unwrap_err();
    assert!(tidemark_gateway::causes::joined(&error).contains(&format!("manifest {path} is damaged")), "{error:?}");
    bench.expire("east.daily.2").await;
    bench.world.shared.advance(9);
    assert!(matches!(bench.mark().await, Err(Error::Chain { .. })), "it can be undone");
    bench.world.shared.advance(1);
    let round = bench.mark().await.unwrap().expect("what it alone needed");
    assert!(round.head.gone.contains(&"daily".parse().unwrap(), VersionNumber(2)));
    bench.world.shared.advance(12);
    assert!(bench.sweep().await.unwrap().unwrap().objects > 0);
    bench.free().await.unwrap();
    assert!(bench.mark().await.is_ok() && bench.survey(&[]).await.0.versions.objects > 0);
}

#[tokio::test]
async fn what_is_damaged_while_a_round_waits_stops_no_sweep_once_its_version_is_given_up() {
    // The object page, the range page, the entry.
    for victim in 0..3 {
        let bench = Bench::of(Off::Nothing, 1, 64);
        for task in ["one", "two", "three"] {
            bench.commit("daily", task).await;
        }
        bench.expire("east.daily.1").await;
        bench.world.shared.advance(12);
        bench.mark().await.unwrap().unwrap();
        let (_, lines) = bench.survey(&[]).await;
        let of = |class: &Class| matches!(class, Class::Versions { first, .. } if first.to_string() == "east.daily.3");
        let pages: Vec<_> = lines.iter().filter(|(name, class)| name.contains("/pages/") && of(class)).collect();
        let mut read = Vec::new();
        for (name, _) in &pages {
            let bytes = tidemark_gateway::fetch::get_unchecked(&bench.store, &Path::from(name.as_str())).await.unwrap();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            let kinds = ["\"object-page\"", "\"range-page\"", "\"entry\""];
            read.extend(kinds.iter().position(|kind| text.contains(kind)).map(|kind| (kind, (*name).clone(), text)));
        }
        read.sort();
        let (_, name, text) = &read[victim];
        let path = Path::from(name.as_str());
        bench.store.put(&path, "damaged".into()).await.unwrap();
        bench.world.shared.advance(12);
        let error = bench.sweep().await.unwrap_err();
        assert!(!error.is_retryable() && tidemark_gateway::causes::joined(&error).contains(name), "{error:?}");
        bench.expire("east.daily.3").await;
        bench.world.shared.advance(12);
        assert!(bench.sweep().await.is_err(), "it can be undone");
        let claim = Held(bench.world.claim_of(1));
        bench.with(async |collector| collector.give_up(&claim).await).await.unwrap();
        // An outage is no damage.
        bench.store.put(&path, text.clone().into()).await.unwrap();
        bench.world.shared.set_away(Some(name));
        let before = bench.names().await;
        assert!(bench.sweep().await.unwrap_err().is_retryable());
        assert!(bench.names().await.len() >= before.len(), "nothing is deleted");
        bench.world.shared.set_away(None);
        bench.store.put(&path, "damaged".into()).await.unwrap();
        assert!(bench.sweep().await.unwrap().unwrap().objects > 0, "{name}");
        bench.collect().await;
        let survey = bench.survey(&[]).await.0;
        assert!(survey.versions.objects > 0 && survey.garbage.objects == 0, "{survey:?}");
    }
}

#[tokio::test]
async fn what_a_version_keeps_staged_stays_where_no_policy_says_otherwise() {
    let bench = Bench::new();
    let keeping = Version { keeps_staged: true, ..Version::empty("fake") };
    let set = testing::set_in(&bench.store, "east", "daily");
    let draft = crate::commit::ManifestDraft {
        holds: crate::manifest::Holds::Version(Box::new(keeping)),
        ..testing::draft("t-1")
    };
    set.commit(draft, &Held(bench.world.claim_of(1)), &bench.env).await.unwrap();
    let staged = Path::from("sources/east/staged/t-1/p/file");
    bench.store.put(&staged, "x".into()).await.unwrap();
    let (daily, none) = (BTreeSet::from(["daily".parse().unwrap()]), BTreeSet::new());
    for (free, stays) in [(none, true), (daily, false)] {
        let live = Live { free_staged: free, keep_staged: BTreeSet::new(), ..bench.live() };
        let collector = Collector::new(&bench.store, &bench.world.source, &live, AGES, "n", &bench.env);
        let mut class = None;
        let mut note = |line: Line| class = (line.path == staged).then_some(line.class).or(class.take());
        collector.survey(&BTreeSet::new(), &mut note).await.unwrap();
        assert_eq!(matches!(class, Some(Class::Staged { .. })), stays, "{class:?}");
        collector.free_staged(&Held(bench.world.claim_of(1))).await.unwrap();
        assert_eq!(bench.store.head(&staged).await.is_ok(), stays);
    }
}

#[tokio::test]
async fn an_old_generation_and_an_old_token_sweep_nothing() {
    let bench = Bench::new();
    bench.commit("daily", "one").await;
    let round = bench.mark().await.unwrap().unwrap();
    bench.world.shared.advance(12);
    bench.world.state.lock().unwrap().early = Some(round.token);
    assert!(matches!(bench.sweep().await, Err(Error::OldToken { .. })));
    bench.world.state.lock().unwrap().early = None;
    bench.store.put(&layout::generation(2), "generation".into()).await.unwrap();
    let error = bench.sweep().await.unwrap_err();
    assert!(matches!(error, Error::OldGeneration { mine: 1, newest: 2 }), "{error}");
    let names = bench.names().await;
    assert!(names.iter().any(|name| name.contains("/work/")), "nothing was deleted");
    assert!(!names.iter().any(|name| name.ends_with("versions/00000000000000000002")), "and no set was fenced");
}

#[tokio::test]
async fn an_old_generation_gives_no_version_up() {
    let bench = Bench::new();
    for task in ["one", "two"] {
        bench.commit("daily", task).await;
    }
    bench.expire("east.daily.1").await;
    bench.world.shared.advance(12);
    bench.store.put(&layout::generation(FencingToken::GREATEST_GENERATION + 1), "foreign".into()).await.unwrap();
    bench.store.put(&layout::generation(2), "generation".into()).await.unwrap();
    let before = bench.names().await;
    assert!(matches!(bench.mark().await, Err(Error::OldGeneration { mine: 1, newest: 2 })));
    assert_eq!(bench.names().await, before);
}

#[tokio::test]
async fn a_writer_that_was_frozen_before_its_manifest_is_fenced_after_a_sweep() {
    let bench = Bench::new();
    bench.commit("daily", "one").await;
    let frozen = Held(bench.world.claim_of(1));
    bench.mark().await.unwrap().unwrap();
    bench.world.shared.advance(12);
    bench.sweep().await.unwrap().unwrap();
    let set = testing::set_in(&bench.store, "east", "daily");
    let error = set.commit(testing::draft("frozen"), &frozen, &bench.env).await.unwrap_err();
    assert!(matches!(error, crate::commit::Error::Fenced { .. }), "{error}");
    let later = Held(bench.world.claim_of(1));
    set.commit(testing::draft("frozen"), &later, &bench.env).await.unwrap();
}

#[tokio::test]
async fn a_round_that_names_what_is_not_collections_to_delete_deletes_none_of_it() {
    let bench = Bench::new();
    bench.commit("daily", "one").await;
    let source = &bench.world.source;
    let (set, foreign) = ("daily".parse().unwrap(), Path::from("sources/east/pages/readme"));
    bench.store.put(&foreign, "x".into()).await.unwrap();
    let young = layout::segment(source, FencingToken { generation: 9, revision: 1 }, 0);
    bench.store.put(&young, "x".into()).await.unwrap();
    let manifest = layout::manifest(source, &set, VersionNumber(1));
    let mut writer = crate::marks::Writer::new(&bench.store, source, 1, bench.world.claim_of(1));
    for path in [&foreign, &young, &manifest, &layout::repository()] {
        writer.push(path, 1).await.unwrap();
    }
    assert!(writer.finish(crate::marks::Gone::default(), &bench.env).await.unwrap());
    bench.world.shared.advance(12);
    assert_eq!(bench.sweep().await.unwrap(), Some(Swept::default()));
    for path in [foreign, young, manifest] {
        bench.store.head(&path).await.unwrap();
    }
}
