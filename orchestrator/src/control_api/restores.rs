//! Restores: a request of the API as it is stored with its task, and a plan as the API shows it.

use tidemark_listener_core::restorer;
use tidemark_web::api::{Action, IfExists, PlannedObject, Problem, Restore, RestorePlan};

use super::{problems::answer, sources::show_line};
use crate::{
    executors,
    restore_task::{Prepared, spec},
    version_name::{NotAPin, VersionName},
};

impl TryFrom<Restore> for spec::Restore {
    /// `TM-VER-0400` for what is no version's id, `TM-SRC-0404` for what can be no source's name. Options, patterns and names
    /// of objects are for the plan to judge, by what the version and the destination hold.
    type Error = Problem;

    fn try_from(restore: Restore) -> Result<Self, Problem> {
        let Restore {
            version,
            pin,
            objects,
            to,
            rename,
            into_non_empty,
            if_exists,
            remove,
            rows,
            columns,
            client_clock_bound_millis,
            no_safety_version,
            accept_degraded,
            strict,
            options,
        } = restore;
        Ok(Self {
            version: executors::version_name(&version).map_err(answer)?,
            pin: pin
                .map(|pin| pin.parse())
                .transpose()
                .map_err(|error: NotAPin| Problem::bad_request("TM-VER-0400", format!("pin: {error}")))?,
            objects,
            to: to.parse().map_err(|_| answer(executors::unknown_source(&to)))?,
            rename,
            into_non_empty,
            if_exists: if_exists.map(Into::into),
            remove,
            rows,
            columns,
            client_clock_bound_millis,
            no_safety_version,
            accept_degraded,
            strict,
            options,
        })
    }
}

impl From<IfExists> for spec::IfExists {
    fn from(choice: IfExists) -> Self {
        match choice {
            IfExists::Undo => Self::Undo,
            IfExists::Merge => Self::Merge,
        }
    }
}

fn show_action(action: restorer::Action) -> Action {
    match action {
        restorer::Action::Load => Action::Load,
        restorer::Action::Merge => Action::Merge,
        restorer::Action::Undo => Action::Undo,
    }
}

/// A plan as the API shows it.
pub(super) fn show_plan(version: &VersionName, prepared: &Prepared, plan: restorer::RestorePlan) -> RestorePlan {
    let object = |o: restorer::PlannedObject| PlannedObject {
        object: o.object.to_string(),
        target: o.target.to_string(),
        action: show_action(o.action),
        rows: o.rows,
        stored_bytes: o.stored_bytes,
    };
    RestorePlan {
        version: version.id.to_string(),
        store: prepared.store_name().to_owned(),
        pin: prepared.pin().to_string(),
        destination: plan.destination,
        write_level: plan.write_level,
        objects: plan.objects.into_iter().map(object).collect(),
        schema: plan.schema,
        checks: plan.checks.into_iter().map(show_line).collect(),
        rows: plan.rows,
        stored_bytes: plan.stored_bytes,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(more: Value) -> Restore {
        let mut whole = json!({"version": "shop.daily.1", "to": "copy"});
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn the_stored_restore_has_the_json_of_the_one_that_was_asked_for() {
        let whole = json!({
            "version": "main:shop.daily.1", "pin": format!("r@{}", tidemark_gateway::Digest::of(b"m")), "objects": ["ks/*"], "rename": {"ks": "ks2"},
            "into_non_empty": ["ks2/t"], "if_exists": "merge", "remove": true, "where": "k = 1", "columns": ["v"],
            "client_clock_bound_millis": 5, "no_safety_version": ["ks2/u"],
            "accept_degraded": true, "strict": true, "options": {"ttl": "strip"},
        });
        let others = json!({"if_exists": "undo"});
        for more in [whole, others, json!({})] {
            let asked = asked(more);
            let stored = serde_json::to_value(spec::Restore::try_from(asked.clone()).unwrap()).unwrap();
            assert_eq!(stored, serde_json::to_value(asked).unwrap());
            serde_json::from_value::<spec::Restore>(stored).unwrap();
        }
    }

    #[test]
    fn hostile_values_are_refused_with_their_code() {
        let code =
            |more| spec::Restore::try_from(asked(more)).map(drop).map_err(|problem| (problem.status, problem.code));
        let refused = |status, code: &str| Err((status, code.to_owned()));
        assert_eq!(code(json!({"version": "shop.daily"})), refused(400, "TM-VER-0400"));
        assert_eq!(code(json!({"pin": "r@m"})), refused(400, "TM-VER-0400"));
        assert_eq!(code(json!({"version": "../shop.daily.1"})), refused(400, "TM-VER-0400"));
        assert_eq!(code(json!({"to": "../copy"})), refused(404, "TM-SRC-0404"));
        assert_eq!(code(json!({})), Ok(()));
    }
}
