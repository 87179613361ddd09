//! Runs a plan: schema, then object by object rows and their verification, then indexes.
//!
//! A crash leaves the checkpoint: schema statements are `IF NOT EXISTS` and run again, rows after the mark are written again
//! with the same times, indexes are made again if they are missing.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use scylla::{client::session::Session, statement::Consistency};
use tidemark_catalog::{content::SegmentRef, entry::Entry, ids::ObjectName};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{
    failure::Failure,
    restorer::{Action, PlannedObject, RestoreControl, RestorePlan, RestoreReport},
};
use tidemark_records::restore::{
    checkpoint::{Checkpoint, Counts, Mark, Stage},
    course::Step,
    objects::{entry, segments},
    pipeline::{Bounds, Pipeline},
};
use tokio::runtime::Handle;

use crate::{
    connect,
    consolidate::{EntrySchema, view_seconds},
    level,
    release::Release,
    restore::{
        chosen,
        job::CqlJob,
        observe::{Contents, Observed, Unseen, observe},
        pieces::{
            feed::{Piece, feed},
            objects,
        },
        plan::decide,
        run::{builds, undone},
        schema::{
            known::{Built, added_column, built, has_column},
            made::Failed,
        },
        select::Selected,
        undo::UndoObject,
        write::{
            statements::ttl::Lifetimes,
            target::{Level, Target, TargetSettings},
        },
    },
    segment::Layout,
    spec::CassandraSpec,
};

/// Slowest write that goes without a warning, s.
const SLOW_SECONDS: u32 = 5;

/// Runs a plan from its checkpoint on.
///
/// # Errors
/// `TM-REST-0201` where a check of the plan fails or a target is no longer empty; else as its parts.
pub async fn run(job: &CqlJob, plan: &RestorePlan, control: RestoreControl) -> Result<RestoreReport, Failure> {
    refuse_failed(plan)?;
    let spec = CassandraSpec::parse(&job.destination).map_err(|e| Failure::new("TM-REST-0101", joined(&e)))?;
    let targets = targets(plan);
    let keyspaces: BTreeSet<String> = targets.iter().map(|(keyspace, _)| keyspace.clone()).collect();
    let seen = observe(&spec, &keyspaces, &targets, &job.env).await;
    let seen = seen.map_err(Unseen::into_error)?;
    let checkpoint = match &control.checkpoint {
        Some(saved) => Checkpoint::resume(saved, plan, |target| is_there(&seen, target))?,
        None => {
            refuse_filled(job, plan, &seen).await?;
            Checkpoint::begin(plan, &control, &job.env).await?
        }
    };
    let session = connect::connect(&spec, &keyspaces).await;
    let session =
        session.map_err(|e| Failure { retryable: e.is_retryable(), ..Failure::new("TM-REST-0202", joined(&e)) })?;
    let bounds = Bounds::for_nodes(seen.nodes.len());
    let pipeline = Pipeline::new(&control, &job.env, bounds, checkpoint, plan.rows, job.options.strict);
    let run = Run::new(job, plan, spec, seen, Arc::new(session), keyspaces, pipeline)?;
    run.all().await
}

/// A plan with failed checks is not run.
fn refuse_failed(plan: &RestorePlan) -> Result<(), Failure> {
    let failed = decide::refusals(plan);
    if failed.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = failed.iter().map(|l| format!("{} {}: {}", l.name, l.subject, l.detail)).collect();
    let hint = failed.iter().find_map(|l| l.hint.clone()).unwrap_or_default();
    Err(Failure::new("TM-REST-0201", format!("the plan is refused: {}", lines.join("; "))).with_hint(hint))
}

fn targets(plan: &RestorePlan) -> BTreeSet<(String, String)> {
    let parts = |o: &PlannedObject| match o.target.parts() {
        [keyspace, table] => Some((keyspace.clone(), table.clone())),
        _ => None,
    };
    plan.objects.iter().filter_map(parts).collect()
}

/// True where the table is at the destination.
fn is_there(seen: &Observed, target: &ObjectName) -> bool {
    let [keyspace, table] = target.parts() else { return true };
    seen.contents.contains_key(&(keyspace.clone(), table.clone()))
}

/// Refuses tables that were filled since the plan was made.
async fn refuse_filled(job: &CqlJob, plan: &RestorePlan, seen: &Observed) -> Result<(), Failure> {
    for object in &plan.objects {
        let [keyspace, table] = object.target.parts() else { continue };
        let rows = seen.contents.get(&(keyspace.clone(), table.clone())) == Some(&Contents::Rows);
        if rows && (object.action == Action::Load || has_counters(job, object).await?) {
            return Err(Failure::new("TM-REST-0201", format!("{} holds rows since the plan was made", object.target)));
        }
    }
    Ok(())
}

/// True where the object holds counters, which are restored into empty tables only.
async fn has_counters(job: &CqlJob, object: &PlannedObject) -> Result<bool, Failure> {
    let entry = entry(&job.store, &object.entry).await?;
    let layout = EntrySchema::layout(&entry).map_err(|e| Failure::new("TM-REST-0103", joined(&e)))?;
    Ok(layout.table().has_counters())
}

/// The segments of an object, and what is chosen of them.
struct Segments {
    all: Vec<SegmentRef>,
    selected: Arc<Selected>,
}

/// A restore in progress.
struct Run<'a> {
    job: &'a CqlJob,
    plan: &'a RestorePlan,
    spec: CassandraSpec,
    seen: Observed,
    session: Arc<Session>,
    keyspaces: BTreeSet<String>,
    pipeline: Pipeline<'a>,
    level: Arc<Level>,
    /// True where a run before this one was interrupted.
    resumed: bool,
    /// True until what that run had sent cannot land any more.
    unsettled: bool,
    /// Schema statements that the destination refused.
    failed: Failed,
}

impl<'a> Run<'a> {
    fn new(
        job: &'a CqlJob,
        plan: &'a RestorePlan,
        spec: CassandraSpec,
        seen: Observed,
        session: Arc<Session>,
        keyspaces: BTreeSet<String>,
        pipeline: Pipeline<'a>,
    ) -> Result<Self, Failure> {
        let planned = plan.write_level.as_deref().unwrap_or_default();
        let unknown = || Failure::new("TM-REST-0201", format!("{planned:?} is not a level that writes can use"));
        let wanted = level::parse(planned).ok_or_else(unknown)?;
        let declared = job.options.write_level.as_deref().and_then(level::parse);
        let level = Arc::new(Level::new(wanted, declared));
        let resumed = pipeline.is_resumed();
        Ok(Self {
            job,
            plan,
            spec,
            seen,
            session,
            keyspaces,
            pipeline,
            level,
            resumed,
            unsettled: resumed,
            failed: Failed::default(),
        })
    }

    async fn all(mut self) -> Result<RestoreReport, Failure> {
        self.statements(|statement| built(statement).is_none()).await?;
        self.refresh().await?;
        while self.pipeline.checkpoint.object < self.plan.objects.len() {
            if let Err(error) = self.object().await {
                return Err(self.stopped(error).await);
            }
        }
        self.statements(|statement| built(statement).is_some()).await?;
        self.builds().await?;
        self.report()
    }

    /// Shows the driver the keyspaces that are there now. One that the destination refused is left to its tables' refusals.
    async fn refresh(&self) -> Result<(), Failure> {
        let made = self.keyspaces.iter().filter(|keyspace| !self.failed.is_unmade(keyspace));
        let refreshed = connect::refresh(&self.session, &made.cloned().collect()).await;
        refreshed.map_err(|e| Failure { retryable: e.is_retryable(), ..Failure::new("TM-REST-0203", joined(&e)) })
    }

    /// Waits for indexes and views, and notes those that are not built.
    async fn builds(&mut self) -> Result<(), Failure> {
        let made = self.plan.schema.iter().filter(|statement| !self.failed.is_failed(statement));
        let wanted: Vec<Built> = made.filter_map(|statement| built(statement)).collect();
        let unbuilt = builds::wait(&self.spec, &self.seen.nodes, &wanted, &self.pipeline, &self.job.env).await?;
        self.pipeline.checkpoint.warnings.extend(unbuilt);
        Ok(())
    }

    /// Saves how far it came; the error that stopped it.
    async fn stopped(&mut self, error: Failure) -> Failure {
        self.note_warnings();
        self.pipeline.stopped(error).await
    }

    /// Runs the plan's schema statements that are chosen. What the destination refuses is noted.
    async fn statements(&mut self, chosen: impl Fn(&str) -> bool) -> Result<(), Failure> {
        for statement in self.plan.schema.iter().filter(|s| chosen(s)) {
            if self.is_added(statement) {
                continue;
            }
            let Err(source) = self.session.query_unpaged(statement.as_str(), ()).await else { continue };
            // The reason comes first: where a long text is cut, the statement loses its end.
            let message = format!("{}, in {statement}", joined(&source));
            let error = Failure { message, ..connect::error("TM-REST-0203", statement, &source) };
            if error.retryable || self.pipeline.refusals.is_strict() {
                return Err(error);
            }
            if let Some(error) = self.failed.add(statement, error) {
                self.pipeline.checkpoint.warnings.push(format!("not made: {}", error.message));
            }
        }
        Ok(())
    }

    /// True for a column that an earlier run added: other statements say IF NOT EXISTS themselves, this one cannot before 4.1.
    fn is_added(&self, statement: &str) -> bool {
        added_column(statement).is_some_and(|column| has_column(&self.seen.keyspaces, &column))
    }

    /// Names an object that could not be made (in an undo: made complete again), and moves on to the next.
    async fn refuse(&mut self, target: &ObjectName, error: Failure) -> Result<(), Failure> {
        self.note_warnings();
        self.pipeline.refuse(target, error).await
    }

    /// Does what is left of the object in work and moves on to the next.
    async fn object(&mut self) -> Result<(), Failure> {
        let planned = &self.plan.objects[self.pipeline.checkpoint.object];
        let name = name_of(planned)?;
        if let Some(error) = self.failed.take(&name) {
            return self.refuse(&planned.target, error).await;
        }
        let entry = entry(&self.job.store, &planned.entry).await?;
        if planned.action == Action::Undo {
            return self.undo(planned, &entry).await;
        }
        let segments = segments(&self.job.store, &entry).await?;
        let (target, layout) = match self.target(planned, &entry).await {
            Err(error) if error.code == "TM-REST-0301" && !error.retryable => {
                return self.refuse(&planned.target, error).await;
            }
            made => made?,
        };
        let selected = chosen::of(&self.job.options.selection, &entry);
        let selected =
            Arc::new(selected.map_err(|why| Failure::new("TM-REST-0103", format!("{}: {why}", planned.object)))?);
        let segments = Segments { all: segments, selected };
        let suspect = self.pipeline.checkpoint.reach;
        if self.pipeline.checkpoint.stage == Stage::Load {
            self.assume_slow_writes();
            let appended = suspect > self.pipeline.checkpoint.mark && target.has_lists();
            if std::mem::take(&mut self.unsettled) && (appended || target.has_counters()) {
                // What was sent before the restart may still land: not before that is over is anything looked at.
                self.pipeline.pause(target.write_timeout * 2).await?;
            }
            self.stage(&segments, &layout, &target, suspect, &format!("restore {}", planned.target)).await?;
            self.next_stage(Stage::Verify, 0).await?;
            tidemark_gateway::pause::point("before-verify");
        }
        self.stage(&segments, &layout, &target, suspect, &format!("verify {}", planned.target)).await?;
        self.next_stage(Stage::Load, 1).await
    }

    /// Does what is left of the undo of the object in work and moves on to the next.
    async fn undo(&mut self, planned: &PlannedObject, entry: &Entry) -> Result<(), Failure> {
        let control = self.pipeline.control();
        let object = UndoObject {
            job: self.job,
            spec: &self.spec,
            seen: &self.seen,
            session: self.session.clone(),
            level: self.level.clone(),
            planned,
            entry,
            progress: control.progress.clone(),
            cancel: control.cancel.clone(),
        };
        let report = undone::run(&object, &mut self.pipeline).await?;
        self.pipeline.checkpoint.undone.add(report);
        self.pipeline.checkpoint.undo = None;
        self.next_stage(Stage::Load, 1).await
    }

    /// Writes that were in flight when a run was interrupted may have been as slow as the destination allows: nobody saw
    /// their answers.
    fn assume_slow_writes(&self) {
        let allowed = u32::try_from(self.seen.write_timeout.as_secs()).unwrap_or(u32::MAX).saturating_mul(2);
        if self.resumed {
            self.pipeline.slowest_write_seconds.fetch_max(allowed, Ordering::Relaxed);
        }
    }

    /// Keeps in the checkpoint what the report has to say, however often the run is interrupted.
    fn note_warnings(&mut self) {
        let level = self.level.now();
        let since = if self.level.has_fallen() { "went away: from then on" } else { "was away:" };
        let level_name = level::name(level);
        let text = format!("a replica {since} rows were written at {level_name}; repair the restored tables");
        let warnings = &mut self.pipeline.checkpoint.warnings;
        if level != Consistency::All && !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    async fn next_stage(&mut self, stage: Stage, objects: usize) -> Result<(), Failure> {
        self.note_warnings();
        self.pipeline.turn(stage, objects).await
    }

    async fn target(&self, planned: &PlannedObject, entry: &Entry) -> Result<(Arc<Target>, Arc<Layout>), Failure> {
        let refuse = |why: String| Failure::new("TM-REST-0103", format!("{}: {why}", planned.object));
        let layout = EntrySchema::layout(entry).map_err(|e| refuse(joined(&e)))?;
        let schema = layout.table().clone();
        // Counters are read and added to at ALL or not at all.
        let counters = schema.has_counters();
        let level = if counters { Arc::new(Level::new(Consistency::All, None)) } else { self.level.clone() };
        let write_timeout = if counters { self.seen.counter_timeout } else { self.seen.write_timeout };
        let settings = TargetSettings {
            name: name_of(planned)?,
            level,
            env: self.job.env.clone(),
            lifetimes: Lifetimes {
                policy: self.job.options.ttl,
                cut: view_seconds(&entry.cut),
                last_expiry: self.seen.last_expiry,
            },
            started: self.pipeline.checkpoint.started_seconds,
            write_timeout,
            element_times: tells_element_times(&self.seen.release),
            shared: !counters && planned.action == Action::Merge,
            slowest_write_seconds: self.pipeline.slowest_write_seconds.clone(),
            sizes: self.seen.sizes,
            refusals: self.pipeline.refusals.clone(),
        };
        let target = Target::prepare(self.session.clone(), schema, settings).await?;
        Ok((Arc::new(target), layout))
    }

    /// Runs one stage over the segments that are left.
    async fn stage(
        &mut self,
        segments: &Segments,
        layout: &Arc<Layout>,
        target: &Arc<Target>,
        suspect: Mark,
        phase: &str,
    ) -> Result<(), Failure> {
        let (stage, store) = (self.pipeline.checkpoint.stage, &self.job.store);
        let read = |segment: &SegmentRef, from: Mark| {
            let (store, layout, runtime) = (store.clone(), layout.clone(), Handle::current());
            let (segment, schema, selected) = (segment.clone(), target.schema.clone(), segments.selected.clone());
            chosen::may_hold(&selected, &segment).then_some(move |take: &mut dyn FnMut(Piece) -> bool| {
                let mut reader = objects::open(&store, &segment, &layout, &runtime)?;
                let fed = feed(&mut reader, &schema, from, |piece| take(chosen::chosen(piece, &selected)));
                fed.map_err(|source| objects::unread(&source))
            })
        };
        let work = |piece: Piece| {
            let target = target.clone();
            async move {
                match stage {
                    _ if piece.row_count() == 0 => Ok(Counts::default()),
                    Stage::Load => target.load(&piece, piece.at < suspect).await,
                    Stage::Verify => target.verify(&piece).await,
                }
            }
        };
        let step = Step { phase, guarded: stage == Stage::Load && target.has_lists() };
        self.pipeline.segments(&segments.all, step, read, work).await
    }

    /// # Errors
    /// That of the first refusal, where nothing at all could be written.
    fn report(self) -> Result<RestoreReport, Failure> {
        let mut warnings = Vec::new();
        let slow = self.pipeline.slowest_write_seconds.load(Ordering::Relaxed);
        if slow > SLOW_SECONDS {
            warnings.push(format!("writes may have taken up to {slow} s: expiring data may live that much longer"));
        }
        let hidden = self.pipeline.checkpoint.counts.hidden;
        if hidden > 0 {
            warnings.push(format!(
                "{hidden} rows that were merged are not there, whole or in part: newer deletions hide them, as far as can be \
                 told (CQL does not show deletions)"
            ));
        }
        self.pipeline.report(self.plan, warnings)
    }
}

/// Keyspace and table of an object at the destination.
fn name_of(planned: &PlannedObject) -> Result<(String, String), Failure> {
    match planned.target.parts() {
        [keyspace, table] => Ok((keyspace.clone(), table.clone())),
        _ => Err(Failure::new("TM-REST-0103", format!("{}: its name is not keyspace/table", planned.target))),
    }
}

/// True from Cassandra 5.0 on: `WRITETIME` of a collection.
fn tells_element_times(release: &str) -> bool {
    Release::of(release) >= Some(Release::V5_0)
}
