//! The plan of a restore as its task's checkpoint keeps it.

use serde::{Deserialize, Serialize};
use tidemark_catalog::{ids::ObjectName, stored::StoredRef};
use tidemark_listener_core::{check, restorer};

/// A kept plan: what every run of the task does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptPlan {
    objects: Vec<KeptObject>,
    schema: Vec<String>,
    checks: Vec<KeptCheck>,
    rows: u64,
    stored_bytes: u64,
    #[serde(default)]
    write_level: Option<String>,
    destination: String,
}

/// One object in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptObject {
    object: ObjectName,
    target: ObjectName,
    entry: StoredRef,
    action: Action,
    rows: u64,
    stored_bytes: u64,
}

/// How an object comes to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Load,
    Merge,
    Undo,
}

/// A check that was made while planning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptCheck {
    name: String,
    subject: String,
    status: Severity,
    detail: String,
    hint: Option<String>,
}

/// How a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Severity {
    Ok,
    Warn,
    Fail,
}

impl From<KeptPlan> for restorer::RestorePlan {
    fn from(value: KeptPlan) -> Self {
        let KeptPlan { objects, schema, checks, rows, stored_bytes, write_level, destination } = value;
        Self {
            objects: objects.into_iter().map(Into::into).collect(),
            schema,
            checks: checks.into_iter().map(Into::into).collect(),
            rows,
            stored_bytes,
            write_level,
            destination,
        }
    }
}

impl From<restorer::RestorePlan> for KeptPlan {
    fn from(value: restorer::RestorePlan) -> Self {
        let restorer::RestorePlan { objects, schema, checks, rows, stored_bytes, write_level, destination } = value;
        Self {
            objects: objects.into_iter().map(Into::into).collect(),
            schema,
            checks: checks.into_iter().map(Into::into).collect(),
            rows,
            stored_bytes,
            write_level,
            destination,
        }
    }
}

impl From<KeptObject> for restorer::PlannedObject {
    fn from(value: KeptObject) -> Self {
        let KeptObject { object, target, entry, action, rows, stored_bytes } = value;
        Self { object, target, entry, action: action.into(), rows, stored_bytes }
    }
}

impl From<restorer::PlannedObject> for KeptObject {
    fn from(value: restorer::PlannedObject) -> Self {
        let restorer::PlannedObject { object, target, entry, action, rows, stored_bytes } = value;
        Self { object, target, entry, action: action.into(), rows, stored_bytes }
    }
}

impl From<KeptCheck> for check::Line {
    fn from(value: KeptCheck) -> Self {
        let KeptCheck { name, subject, status, detail, hint } = value;
        Self { name, subject, status: status.into(), detail, hint }
    }
}

impl From<check::Line> for KeptCheck {
    fn from(value: check::Line) -> Self {
        let check::Line { name, subject, status, detail, hint } = value;
        Self { name, subject, status: status.into(), detail, hint }
    }
}

impl From<Action> for restorer::Action {
    fn from(value: Action) -> Self {
        match value {
            Action::Load => Self::Load,
            Action::Merge => Self::Merge,
            Action::Undo => Self::Undo,
        }
    }
}

impl From<restorer::Action> for Action {
    fn from(value: restorer::Action) -> Self {
        match value {
            restorer::Action::Load => Self::Load,
            restorer::Action::Merge => Self::Merge,
            restorer::Action::Undo => Self::Undo,
        }
    }
}

impl From<Severity> for check::Status {
    fn from(value: Severity) -> Self {
        match value {
            Severity::Ok => Self::Ok,
            Severity::Warn => Self::Warn,
            Severity::Fail => Self::Fail,
        }
    }
}

impl From<check::Status> for Severity {
    fn from(value: check::Status) -> Self {
        match value {
            check::Status::Ok => Self::Ok,
            check::Status::Warn => Self::Warn,
            check::Status::Fail => Self::Fail,
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;
    use serde_json::json;
    use tidemark_gateway::Stored;

    use super::*;

    fn object(name: &str, action: restorer::Action) -> restorer::PlannedObject {
        let name: ObjectName = name.parse().unwrap();
        let entry = StoredRef::new(&Path::from("sources/s/pages/1"), Stored::of(b"1"));
        restorer::PlannedObject { object: name.clone(), target: name, entry, action, rows: 1, stored_bytes: 2 }
    }

    fn plan() -> restorer::RestorePlan {
        let actions = [restorer::Action::Load, restorer::Action::Merge, restorer::Action::Undo];
        restorer::RestorePlan {
            objects: actions.into_iter().map(|action| object("ks/a%20b", action)).collect(),
            schema: vec!["CREATE KEYSPACE ks".to_owned()],
            checks: vec![
                check::Line::ok("connect", "n1", "5.0.9"),
                check::Line::warn("clock", "n1", "1 s", "set it"),
                check::Line::fail("target", "ks/t", "holds data", "choose another"),
            ],
            rows: 3,
            stored_bytes: 6,
            write_level: Some("all".to_owned()),
            destination: "copy".to_owned(),
        }
    }

    #[test]
    fn a_plan_comes_back_from_its_checkpoint_as_it_was() {
        let stored = serde_json::to_vec(&KeptPlan::from(plan())).unwrap();
        let kept: KeptPlan = serde_json::from_slice(&stored).unwrap();
        assert_eq!(restorer::RestorePlan::from(kept), plan());
    }

    #[test]
    fn a_plan_that_an_earlier_build_kept_is_read() {
        let stored = serde_json::to_value(plan()).unwrap();
        assert_eq!(serde_json::to_value(KeptPlan::from(plan())).unwrap(), stored);
    }

    #[test]
    fn hostile_values_are_refused() {
        let stored = serde_json::to_value(KeptPlan::from(plan())).unwrap();
        for (place, value) in [
            ("/objects/0/action", json!("drop")),
            ("/objects/0/target", json!("ks//t")),
            ("/checks/0/status", json!("fine")),
            ("/rows", json!(-1)),
        ] {
            let mut hostile = stored.clone();
            *hostile.pointer_mut(place).unwrap() = value;
            assert!(serde_json::from_value::<KeptPlan>(hostile).is_err(), "{place}");
        }
    }
}
