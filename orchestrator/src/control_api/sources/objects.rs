//! Objects of a source: the live ones, and those that only versions hold; who protects them, and how well.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use tidemark_catalog::ids::{ObjectName, SetId, VersionId};
use tidemark_listener_core::source::LiveObject;
use tidemark_web::api::{List, Object, Order, Page, Problem};

use super::{
    super::{
        Api,
        known::{Held, HeldObject},
        policies::OfPolicy,
        problems::answer,
        versions,
    },
    source_id,
};
use crate::registrations::{POLICIES, PolicyRecord};

/// A page of the objects by name; where `unprotected` are asked for, of the live ones that no policy names.
pub(in super::super) async fn objects(
    api: &Api,
    name: &str,
    unprotected: bool,
    page: &Page,
) -> Result<List<Object>, Problem> {
    let (record, driver) = api.with.source(name).await.map_err(answer)?;
    let source = source_id(name).map_err(answer)?;
    let live = driver.objects(&record.spec).await.map_err(answer)?;
    let mut policies: Vec<PolicyRecord> = api.registrations().list(POLICIES).await.map_err(answer)?;
    policies.retain(|policy| policy.source == source && policy.is_confirmed());
    let policies: Vec<OfPolicy<'_>> = policies.iter().map(|policy| OfPolicy::new(policy).0).collect();
    let mut found: BTreeMap<String, Found> =
        live.into_iter().map(|live| (live.object.to_string(), Found::live(live))).collect();
    for (id, held) in versions::held(api, &source).await? {
        for object in &held.objects {
            let found = found.entry(object.object.clone()).or_insert_with_key(|name| Found::gone(name));
            found.count(&id, &held, object);
        }
    }
    let now = api.with.env.now();
    let shown = found.into_values().map(|found| found.show(&policies, now));
    let asked = shown.filter(|(is_live, object)| !unprotected || (*is_live && object.policies.is_empty()));
    Ok(page.cut(asked.map(|(_, object)| object).collect(), Order::Ascending, |object| object.object.clone()))
}

/// What is known of an object.
struct Found {
    object: Object,
    is_live: bool,
    /// When the newest version of each set that holds it was committed.
    newest: HashMap<SetId, Timestamp>,
}

impl Found {
    fn live(live: LiveObject) -> Self {
        let LiveObject { object, object_id, supported, note } = live;
        Self {
            object: object_of(object.to_string(), object_id, supported, note),
            is_live: true,
            newest: HashMap::new(),
        }
    }

    fn gone(name: &str) -> Self {
        let note = Some("not in the live source; held by versions".to_owned());
        Self { object: object_of(name.to_owned(), String::new(), true, note), is_live: false, newest: HashMap::new() }
    }

    /// Versions come oldest first, so the last one counted is the newest.
    fn count(&mut self, id: &VersionId, held: &Held, line: &HeldObject) {
        self.object.versions += 1;
        self.object.newest_version = Some(id.to_string());
        self.object.last_success = Some(held.committed);
        self.object.recoverable_until = self.object.recoverable_until.max(line.complete_before);
        self.newest.insert(id.set.clone(), held.committed);
    }

    /// The object with those of the policies that name it, and whether it is live. What is not live, or cannot be protected, is
    /// not late.
    fn show(self, policies: &[OfPolicy<'_>], now: Timestamp) -> (bool, Object) {
        let Self { object, is_live, newest } = self;
        let name = object.object.parse::<ObjectName>();
        let naming = policies.iter().filter(|policy| name.as_ref().is_ok_and(|name| policy.names(name)));
        let naming: Vec<&OfPolicy<'_>> = naming.collect();
        let is_awaited = is_live && object.supported;
        let is_late = |policy: &&OfPolicy<'_>| policy.is_late(newest.get(&policy.policy.name).copied(), now);
        let expected = naming.iter().filter_map(|policy| policy.expected_interval(now)).min();
        let object = Object {
            late: is_awaited && naming.iter().any(is_late),
            expected_interval_seconds: expected.filter(|_| is_awaited).map(|expected| expected.as_secs()),
            policies: naming.iter().map(|policy| policy.policy.name.to_string()).collect(),
            ..object
        };
        (is_live, object)
    }
}

fn object_of(object: String, object_id: String, supported: bool, note: Option<String>) -> Object {
    Object {
        object,
        object_id,
        supported,
        note,
        versions: 0,
        newest_version: None,
        last_success: None,
        recoverable_until: None,
        policies: Vec::new(),
        expected_interval_seconds: None,
        late: false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(name: &str, objects: &str, every: Option<&str>) -> PolicyRecord {
        let mut policy = json!({"name": name, "source": "src", "objects": [objects], "store": "s"});
        if let Some(every) = every {
            policy["schedule"] = json!({"every": every});
        }
        serde_json::from_value(policy).unwrap()
    }

    fn at(hour: u32) -> Timestamp {
        format!("2026-05-05T{hour:02}:00:00Z").parse().unwrap()
    }

    fn live(supported: bool) -> Found {
        let object = "ks/a".parse().unwrap();
        Found::live(LiveObject { object, object_id: "1".to_owned(), supported, note: None })
    }

    fn counted(mut found: Found, version: &str, committed: u32, complete_before: Option<u32>) -> Found {
        let line = HeldObject { object: "ks/a".to_owned(), complete_before: complete_before.map(at) };
        let held = Held { committed: at(committed), objects: vec![line.clone()] };
        found.count(&version.parse().unwrap(), &held, &line);
        found
    }

    #[test]
    fn an_object_has_the_figures_of_its_versions_and_policies() {
        let policies =
            [policy("hourly", "ks/*", Some("1h")), policy("by-hand", "ks/a", None), policy("other", "x/*", None)];
        let policies: Vec<_> = policies.iter().map(|policy| OfPolicy::new(policy).0).collect();
        let found = counted(counted(live(true), "src.hourly.1", 9, Some(8)), "src.by-hand.1", 12, None);
        let (is_live, object) = found.show(&policies, at(12));
        assert!(is_live);
        assert_eq!(object.policies, ["hourly", "by-hand"]);
        assert_eq!((object.versions, object.newest_version.as_deref()), (2, Some("src.by-hand.1")));
        assert_eq!((object.last_success, object.recoverable_until), (Some(at(12)), Some(at(8))), "not proven complete");
        assert_eq!((object.expected_interval_seconds, object.late), (Some(3600), true), "another policy's is no help");
        let found = counted(live(true), "src.hourly.1", 11, Some(11));
        assert!(!found.show(&policies, at(12)).1.late);
    }

    #[test]
    fn nothing_is_awaited_of_what_cannot_be_captured_and_what_none_names_is_not_protected() {
        let policies = [policy("hourly", "ks/*", Some("1h"))];
        let policies: Vec<_> = policies.iter().map(|policy| OfPolicy::new(policy).0).collect();
        for found in [live(false), counted(Found::gone("ks/a"), "src.hourly.1", 1, None)] {
            let object = found.show(&policies, at(12)).1;
            assert_eq!((object.late, object.expected_interval_seconds, object.policies.len()), (false, None, 1));
        }
        assert!(live(true).show(&policies, at(12)).1.late);
        assert!(live(true).show(&[], at(12)).1.policies.is_empty());
    }
}
