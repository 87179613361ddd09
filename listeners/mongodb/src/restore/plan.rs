//! What a restore would do.

use std::collections::BTreeMap;

use tidemark_catalog::{
    entry::{ObjectLine, Quality},
    ids::ObjectName,
};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{
    check::Line,
    failure::Failure,
    restorer::{Action, CommonOptions, PlannedObject, RestoreJob, RestorePlan},
};
use tidemark_records::restore::objects;

use super::{
    destination, indexes,
    target::{Standing, Target},
};
use crate::{
    codes::{OPTIONS, VERIFICATION},
    connect::Server,
    consolidate::read_schema,
    options::{RestoreOptions, Ttl},
    staged::Schema,
};

/// The plan of a job. Writes nothing.
///
/// # Errors
/// Where the destination or the version cannot be read.
pub(super) async fn of(job: &RestoreJob) -> Result<RestorePlan, Failure> {
    let options = RestoreOptions::read(&job.options.source)?;
    let server = destination(job).await?;
    let mut checks = unknown(&job.options.common);
    let mut objects = Vec::new();
    for line in &job.lines {
        let (planned, view, own) = planned(job, line, &server, options.ttl).await?;
        checks.extend(own);
        objects.push((view, planned));
    }
    // A view may name any collection.
    objects.sort_by_key(|(view, _)| *view);
    let objects: Vec<PlannedObject> = objects.into_iter().map(|(_, planned)| planned).collect();
    checks.extend(twice(&objects));
    Ok(RestorePlan {
        rows: objects.iter().map(|object| object.rows).sum(),
        stored_bytes: objects.iter().map(|object| object.stored_bytes).sum(),
        objects,
        schema: Vec::new(),
        checks,
        write_level: Some("majority".to_owned()),
        destination: server.place().to_owned(),
    })
}

/// Options that this kind does not have.
fn unknown(options: &CommonOptions) -> Vec<Line> {
    let unknown = [
        (
            options.if_exists.is_some() || options.remove,
            "into existing collections",
            "restore beside under another name",
        ),
        (!options.selection.is_all(), "of a selection", "restore all documents, and choose there"),
    ];
    let fail = |(_, what, hint): (bool, &str, &str)| {
        Line::fail("options", "restore", format!("MongoDB has no restore {what}"), hint)
    };
    unknown.into_iter().filter(|(asked, ..)| *asked).map(fail).collect()
}

/// The schema of an entry's object.
pub(super) async fn schema(job: &RestoreJob, planned: &PlannedObject) -> Result<Schema, Failure> {
    let entry = objects::entry(&job.store, &planned.entry).await?;
    read_schema(&entry.schema).map_err(|why| Failure::new(VERIFICATION, format!("{}: {why}", planned.object)))
}

async fn planned(
    job: &RestoreJob,
    line: &ObjectLine,
    server: &Server,
    ttl: Ttl,
) -> Result<(PlannedObject, bool, Vec<Line>), Failure> {
    let options = &job.options.common;
    let entry = line.entry.clone().ok_or_else(|| Failure::new(OPTIONS, format!("{} has no entry", line.object)))?;
    let target = renamed(&line.object, &options.rename)?;
    let (rows, stored_bytes) = (line.figures.records, line.figures.kept_bytes());
    let planned =
        PlannedObject { object: line.object.clone(), target, entry, action: Action::Load, rows, stored_bytes };
    let schema = schema(job, &planned).await?;
    let view = schema.is_view();
    let mut checks = vec![stands(&planned.target, view, server).await?];
    if matches!(line.quality, Quality::Degraded { .. }) && !options.accept_degraded {
        let hint = "accept what is degraded, or restore another version";
        checks.push(Line::fail("quality", &line.object.to_string(), "it is not proven complete", hint));
    }
    let expiring = indexes::expiring(&schema);
    if ttl == Ttl::Keep && !expiring.is_empty() {
        let words = format!("documents may expire at once by {}", expiring.join(", "));
        checks.push(Line::warn("ttl", &planned.target.to_string(), words, "say --option ttl=strip to keep them"));
    }
    Ok((planned, view, checks))
}

async fn stands(target: &ObjectName, view: bool, server: &Server) -> Result<Line, Failure> {
    let name = target.to_string();
    let standing = match Target::of(server, target) {
        Err(why) => return Ok(Line::fail("name", &name, why, "rename it")),
        Ok(target) => target.standing().await?,
    };
    Ok(match standing {
        Standing::Absent => Line::ok("target", &name, "it is made"),
        Standing::Empty if view => {
            let words = "an empty collection stands where the view is to come";
            Line::fail("target", &name, words, "restore under another name, or drop it")
        }
        Standing::Empty => Line::warn(
            "target",
            &name,
            "it is there and empty: its own options stay",
            "drop it to have those of the version",
        ),
        Standing::Filled => Line::fail("target", &name, "it holds data", "restore under another name, or drop it"),
    })
}

/// The object's name at the destination: a whole name goes before a database's.
fn renamed(object: &ObjectName, rename: &BTreeMap<String, String>) -> Result<ObjectName, Failure> {
    let wrong = |to: &str, why: String| Failure::new(OPTIONS, format!("rename {object} to {to:?}: {why}"));
    if let Some(to) = rename.get(&object.to_string()) {
        return to.parse().map_err(|error| wrong(to, joined(&error)));
    }
    let [database, collection] = object.parts() else { return Ok(object.clone()) };
    match rename.get(database) {
        None => Ok(object.clone()),
        Some(to) => ObjectName::new([to, collection]).map_err(|error| wrong(to, joined(&error))),
    }
}

/// Targets that two objects would share.
fn twice(objects: &[PlannedObject]) -> Vec<Line> {
    let mut targets: Vec<_> = objects.iter().map(|object| &object.target).collect();
    targets.sort();
    let line = |pair: &[&ObjectName]| {
        Line::fail("target", &pair[0].to_string(), "two objects would become it", "rename one of them otherwise")
    };
    targets.windows(2).filter(|pair| pair[0] == pair[1]).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_go_before_databases() {
        let rename =
            BTreeMap::from([("shop".to_owned(), "copy".to_owned()), ("shop/a".to_owned(), "other/b".to_owned())]);
        let to = |object: &str| renamed(&object.parse().unwrap(), &rename).unwrap().to_string();
        assert_eq!([to("shop/a"), to("shop/c"), to("stock/a")], ["other/b", "copy/c", "stock/a"]);
        let empty = BTreeMap::from([("shop".to_owned(), String::new())]);
        assert_eq!(renamed(&"shop/a".parse().unwrap(), &empty).unwrap_err().code, OPTIONS);
    }
}
