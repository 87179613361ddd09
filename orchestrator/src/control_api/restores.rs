//! Plans of restores, as the API shows them.

use tidemark_listener_core::driver::{self, Action};
use tidemark_web::api::{PlannedObject, RestorePlan};

use super::sources::show_line;

/// A plan as the API shows it.
pub(super) fn show_plan(version: &str, plan: driver::RestorePlan) -> RestorePlan {
    let object = |o: driver::PlannedObject| PlannedObject {
        object: o.object.to_string(),
        target: o.target.to_string(),
        action: match o.action {
            Action::Load => "load",
            Action::Merge => "merge",
            Action::Undo => "undo",
        }
        .to_owned(),
        rows: o.rows,
        stored_bytes: o.stored_bytes,
    };
    RestorePlan {
        version: version.to_owned(),
        destination: plan.destination,
        write_level: plan.write_level.unwrap_or_default(),
        objects: plan.objects.into_iter().map(object).collect(),
        schema: plan.schema,
        checks: plan.checks.into_iter().map(show_line).collect(),
        rows: plan.rows,
        stored_bytes: plan.stored_bytes,
    }
}
