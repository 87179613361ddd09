//! The fake kind of source, as the orchestrator sees it: records that are lines `key=value`.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use object_store::ObjectStore;
use serde::Deserialize;
use serde_json::Value;
use tidemark_catalog::{entry::ObjectLine, ids::ObjectName};
use tidemark_gateway::causes;
use tidemark_listener_core::{
    check,
    failure::Failure,
    progress::ProgressSink,
    restorer::{
        Action, IfExists, PlannedObject, RestoreControl, RestoreJob, RestorePlan, RestoreReport, Restorer, UndoCounts,
        UndoInstant,
    },
    shape,
    source::{Answers, Asked, Family, ListenerSpec, LiveObject, NextStep, Source, Uses},
};
use tokio_util::sync::CancellationToken;

use super::{Hang, World, objects_and};

/// What policies and restores may say.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    write_level: Option<String>,
    read_level: Option<String>,
    repaired: bool,
    replication: Option<Value>,
    ttl: Option<String>,
}

fn read_options(options: &Value) -> Result<Options, Failure> {
    shape::read(options).map_err(|error| Failure::new("TM-FAKE-0007", causes::joined(&error)))
}

pub(super) fn validate_options(options: &Value) -> Result<(), Failure> {
    match read_options(options)?.write_level.as_deref() {
        Some("most") => Err(Failure::new("TM-FAKE-0007", "options.write_level: most")),
        _ => Ok(()),
    }
}

pub(super) fn validate(spec: &Value) -> Result<(), Failure> {
    nodes(spec).map(drop)
}

fn nodes(spec: &Value) -> Result<Vec<String>, Failure> {
    let wrong = || Failure::new("TM-FAKE-0003", "nodes");
    let nodes = spec.get("nodes").and_then(Value::as_array).ok_or_else(wrong)?;
    nodes.iter().map(|node| node.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

/// What the specification names: `tool`, a command line, and `secret`, a file.
pub(super) fn uses(spec: &Value) -> Result<Uses, Failure> {
    validate(spec)?;
    let words = spec.get("tool").and_then(Value::as_array).into_iter();
    let tool = words.map(|words| words.iter().filter_map(|word| Some(word.as_str()?.to_owned())).collect());
    let secret = spec.get("secret").and_then(Value::as_str).map(PathBuf::from);
    Ok(Uses { programs: tool.collect(), credentials: secret.into_iter().collect(), data: vec![], addresses: vec![] })
}

/// Runs the tool and reads the secret, as a kind may whenever it is asked anything about a live source.
fn touch(spec: &Value) {
    for line in uses(spec).unwrap_or_default().programs {
        std::process::Command::new(&line[0]).args(&line[1..]).status().unwrap();
    }
}

pub(super) fn check(spec: &Value) -> Vec<check::Line> {
    touch(spec);
    match validate(spec) {
        Ok(()) => vec![check::Line::ok("connect", "cluster", "well")],
        Err(error) => vec![check::Line::fail("specification", "source", error.message, "name nodes")],
    }
}

pub(super) fn live(spec: &Value, objects: Vec<ObjectName>) -> Vec<LiveObject> {
    touch(spec);
    let live = |object| LiveObject { object, object_id: "1".to_owned(), supported: true, note: None };
    objects.into_iter().map(live).collect()
}

pub(super) fn listeners(spec: &Value) -> Result<Vec<ListenerSpec>, Failure> {
    let spec_of = |id| ListenerSpec {
        id,
        program: "p".to_owned(),
        arguments: vec![],
        secret_environment: vec![],
        inherited: &[],
    };
    touch(spec);
    Ok(nodes(spec)?.into_iter().map(spec_of).collect())
}

pub(super) fn plan(job: &RestoreJob) -> RestorePlan {
    let planned = |line: &ObjectLine| PlannedObject {
        object: line.object.clone(),
        target: line.object.clone(),
        entry: line.entry.clone().unwrap(),
        action: if job.options.common.if_exists == Some(IfExists::Undo) { Action::Undo } else { Action::Load },
        rows: line.figures.records,
        stored_bytes: 1,
    };
    let full = job.options.common.rename.values().any(|to| to == "full");
    let check = if full {
        check::Line::fail("empty", "full", "it holds rows", "name another")
    } else {
        check::Line::ok("empty", "target", "well")
    };
    RestorePlan {
        objects: job.lines.iter().map(planned).collect(),
        schema: vec![],
        checks: vec![check],
        rows: job.lines.len() as u64,
        stored_bytes: 2,
        write_level: Some("all".to_owned()),
        destination: "fake".to_owned(),
    }
}

pub(super) struct Driver {
    pub(super) world: World,
    pub(super) hang: Arc<Hang>,
}

#[async_trait]
impl Source for Driver {
    fn kind(&self) -> &'static str {
        "fake"
    }

    fn name_parts(&self) -> Option<usize> {
        Some(2)
    }

    fn validate(&self, spec: &Value) -> Result<(), Failure> {
        validate(spec)
    }

    fn uses(&self, spec: &Value) -> Result<Uses, Failure> {
        uses(spec)
    }

    fn validate_options(&self, options: &Value) -> Result<(), Failure> {
        validate_options(options)
    }

    fn normal_options(&self, options: &Value) -> Value {
        let mut normal = options.clone();
        if let Some(fields) = normal.as_object_mut() {
            fields.entry("write_level").or_insert_with(|| "quorum".into());
        }
        normal
    }

    async fn check(&self, spec: &Value) -> Vec<check::Line> {
        check(spec)
    }

    async fn objects(&self, spec: &Value) -> Result<Vec<LiveObject>, Failure> {
        Ok(live(spec, objects_and(&self.world.added)))
    }

    async fn listeners(&self, spec: &Value) -> Result<Vec<ListenerSpec>, Failure> {
        listeners(spec)
    }

    async fn next_step(&self, _store: &Arc<dyn ObjectStore>, steps: &[Answers]) -> Result<NextStep, Failure> {
        Ok(match steps.len() < self.world.prepares {
            true => NextStep::Prepare(Asked::default()),
            false => {
                let notes = (0..self.world.many).map(|n| format!("many/t{n:04} was compared on all nodes").repeat(4));
                NextStep::Ship(Asked { notes: notes.collect(), ..Asked::default() })
            }
        })
    }

    fn family(&self) -> Family<'_> {
        Family::Records(self)
    }

    fn restorer(&self) -> &dyn Restorer {
        self
    }
}

#[async_trait]
impl Restorer for Driver {
    fn validate_options(&self, options: &Value) -> Result<(), Failure> {
        read_options(options).map(drop)
    }

    async fn plan(&self, job: &RestoreJob) -> Result<RestorePlan, Failure> {
        let schema = (0..self.world.many).map(|n| format!("CREATE TABLE many.t{n:04} (k int PRIMARY KEY)").repeat(20));
        touch(&job.destination);
        Ok(RestorePlan { schema: schema.collect(), ..plan(job) })
    }

    async fn run(
        &self,
        _job: &RestoreJob,
        plan: &RestorePlan,
        control: RestoreControl,
    ) -> Result<RestoreReport, Failure> {
        self.world.instants.lock().unwrap().push(control.instant);
        if self.hang.here("restore", &control.cancel).await {
            return Err(Failure::cancelled());
        }
        // A kept plan is the one of the first run, whole.
        assert_eq!(plan.schema.len(), self.world.many);
        control.save.save(serde_json::json!({"done": 1})).await?;
        let warnings = (0..self.world.many).map(|n| format!("many/t{n:04} has a trigger that was not made")).collect();
        Ok(RestoreReport { rows_written: plan.rows, warnings, ..RestoreReport::default() })
    }

    async fn count(
        &self,
        _job: &RestoreJob,
        plan: &RestorePlan,
        _progress: ProgressSink,
        _cancel: CancellationToken,
    ) -> Result<Vec<UndoCounts>, Failure> {
        let count = |planned: &PlannedObject| UndoCounts {
            object: planned.object.clone(),
            target: planned.target.clone(),
            come_back: 2,
            change: 1,
            would_be_removed: 0,
            untouched: 7,
            rows_kept: 3,
            rows_newer: 0,
            newest_write_micros: None,
            unreadable_ranges: vec![],
        };
        Ok(plan.objects.iter().map(count).collect())
    }

    async fn undo_instant(&self, job: &RestoreJob) -> Result<UndoInstant, Failure> {
        let micros = job.env.now_micros() - job.options.common.client_clock_bound_micros;
        Ok(UndoInstant { micros, lowest: "n1".to_owned(), unread: vec![], needs_all_clocks: true, settle_millis: 1 })
    }
}
