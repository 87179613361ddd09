//! What a restore would do.

use tidemark_catalog::{
    entry::{ObjectLine, Quality},
    ids::ObjectName,
};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{
    check::Line,
    failure::Failure,
    restorer::{Action, CommonOptions, IfExists, PlannedObject, RestoreJob, RestorePlan},
};

use super::target::Target;
use crate::toy::{
    OPTIONS,
    options::RestoreOptions,
    spec::{Replica, Specification},
};

/// The plan of a job. Writes nothing.
///
/// # Errors
/// Where the destination is none, or one of its directories cannot be read.
pub(super) async fn of(job: &RestoreJob) -> Result<RestorePlan, Failure> {
    RestoreOptions::read(&job.options.source)?;
    let destination = Specification::read(&job.destination)?;
    let mut checks = unknown(&job.options.common);
    let mut objects = Vec::new();
    for line in &job.lines {
        let (planned, own) = planned(line, &destination, &job.options.common).await?;
        checks.extend(own);
        objects.push(planned);
    }
    checks.extend(twice(&objects));
    let ids: Vec<String> = destination.replicas.into_iter().map(|Replica { id, .. }| id).collect();
    Ok(RestorePlan {
        rows: objects.iter().map(|object| object.rows).sum(),
        stored_bytes: objects.iter().map(|object| object.stored_bytes).sum(),
        objects,
        schema: Vec::new(),
        checks,
        write_level: None,
        destination: format!("directories of {}", ids.join(", ")),
    })
}

/// Options that this kind does not have.
fn unknown(options: &CommonOptions) -> Vec<Line> {
    let undo = options.if_exists == Some(IfExists::Undo) || options.remove;
    let unknown = [
        (undo, "undo", "choose merge, or restore beside under another name"),
        (!options.selection.is_all(), "selection", "restore all rows and columns"),
    ];
    let fail = |(_, what, hint)| Line::fail("options", what, "the toy source does not have it", hint);
    unknown.into_iter().filter(|(asked, ..)| *asked).map(fail).collect()
}

async fn planned(
    line: &ObjectLine,
    destination: &Specification,
    options: &CommonOptions,
) -> Result<(PlannedObject, Vec<Line>), Failure> {
    let entry = line.entry.clone().ok_or_else(|| Failure::new(OPTIONS, format!("{} has no entry", line.object)))?;
    let name = renamed(&line.object, options)?;
    let mut checks = Vec::new();
    let mut action = Action::Load;
    match Target::of(destination, &name) {
        Err(why) => checks.push(Line::fail("name", &name.to_string(), why, "rename it")),
        Ok(target) if target.is_empty().await? => checks.push(Line::ok("target", &name.to_string(), "it is empty")),
        Ok(_) => {
            action = Action::Merge;
            checks.push(filled(&name.to_string(), options));
        }
    }
    if matches!(line.quality, Quality::Degraded { .. }) && !options.accept_degraded {
        let hint = "accept what is degraded, or restore another version";
        checks.push(Line::fail("quality", &line.object.to_string(), "it is not proven complete", hint));
    }
    let (rows, stored_bytes) = (line.figures.records, line.figures.kept_bytes());
    Ok((PlannedObject { object: line.object.clone(), target: name, entry, action, rows, stored_bytes }, checks))
}

/// Whether a target that holds data may be merged into.
fn filled(name: &str, options: &CommonOptions) -> Line {
    if options.if_exists != Some(IfExists::Merge) {
        return Line::fail("target", name, "it holds data", "choose merge, or another name");
    }
    match options.into_non_empty.iter().any(|confirmed| confirmed == name) {
        true => Line::ok("target", name, "it holds data, which is merged with"),
        false => Line::fail("target", name, "it holds data", "confirm its name"),
    }
}

/// The object's name at the destination.
fn renamed(object: &ObjectName, options: &CommonOptions) -> Result<ObjectName, Failure> {
    let Some(to) = options.rename.get(&object.to_string()) else { return Ok(object.clone()) };
    to.parse().map_err(|error| Failure::new(OPTIONS, format!("rename {object} to {to:?}: {}", joined(&error))))
}

/// Targets that two objects would share.
fn twice(objects: &[PlannedObject]) -> Vec<Line> {
    let mut targets: Vec<_> = objects.iter().map(|object| &object.target).collect();
    targets.sort();
    let twice = targets.windows(2).filter(|pair| pair[0] == pair[1]);
    let line = |pair: &[&ObjectName]| {
        Line::fail("target", &pair[0].to_string(), "two objects would become it", "rename one of them otherwise")
    };
    twice.map(line).collect()
}
