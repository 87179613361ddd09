//! The listener: takes a snapshot of one replica and ships its files.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use clap::Args;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use tidemark_catalog::{
    document::Document,
    ids::{ObjectName, ParseError},
    slice::{Encoding, SliceObject},
    stored::StoredRef,
};
use tidemark_gateway::{Digest, causes::joined};
use tidemark_listener_core::{
    assignment::{Assignment, Capture, CheckRequest},
    check::{self, Line},
    failure::Failure,
    listener::Listener,
    needs,
    process::Start,
    progress::ProgressSink,
    ship::{Captured, Item, LocalFile, Meter, Parcel, Shipper, Stage},
    tags,
};
use tokio_util::sync::CancellationToken;

use super::{
    DIRECTORY, away, driver,
    snapshot::{self, Held, Snapshot},
};

/// What the listener takes besides the arguments of control.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Id of the replica.
    #[arg(long)]
    pub replica: String,
    /// Its directory.
    #[arg(long)]
    pub directory: PathBuf,
}

/// What a replica says of itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Info {
    /// Its id.
    pub replica: String,
}

impl Document for Info {
    const KIND: &'static str = "toy-replica";
}

/// The listener of one replica.
pub struct ToyListener {
    own: Arguments,
    start: Start,
}

impl ToyListener {
    /// The listener of this replica.
    pub fn new(own: Arguments, start: Start) -> Self {
        Self { own, start }
    }

    fn store(&self) -> Result<Arc<dyn ObjectStore>, Failure> {
        Ok(self.start.access.open(&self.start.env)?)
    }

    /// Takes the snapshot of the assignment's task; what ended tasks left goes.
    async fn snapshot(&self, assignment: &Assignment<Capture>) -> Result<Snapshot, Failure> {
        let patterns = assignment.work.patterns();
        let patterns = patterns.map_err(|error| Failure::new(DIRECTORY, format!("objects: {error}")))?;
        let (replica, env) = (self.own.directory.clone(), self.start.env.clone());
        let (tag, assignment) = (tags::tag(assignment, assignment.work.step.number), assignment.clone());
        blocking(move || {
            snapshot::give_back(&replica, tags::abandoned(&snapshot::tags(&replica)?, &assignment))?;
            Snapshot::take(&replica, &tag, |object| patterns.matches(&[object]), &env)
        })
        .await
    }

    /// Gives back what the task holds.
    async fn give_back(&self, assignment: &Assignment<Capture>) -> Result<(), Failure> {
        let (replica, assignment) = (self.own.directory.clone(), assignment.clone());
        blocking(move || snapshot::give_back(&replica, tags::own(&snapshot::tags(&replica)?, &assignment))).await
    }

    async fn ship(
        &self,
        stage: &Stage,
        assignment: &Assignment<Capture>,
        progress: ProgressSink,
    ) -> Result<StoredRef, Failure> {
        let snapshot = self.snapshot(assignment).await?;
        let shipper = Shipper::new(stage, &assignment.work.limits, Meter::new(progress, snapshot.bytes()));
        let mut objects: Vec<SliceObject> = Vec::new();
        for (name, held) in &snapshot.taken.objects {
            let item = item(name).map_err(|error| Failure::new(DIRECTORY, error.to_string()))?;
            objects.push(shipper.object(&item, parcels(&snapshot, name, held)).await?);
        }
        let captured = Captured { started: snapshot.taken.started, finished: snapshot.taken.finished, objects };
        Ok(stage.finish(&Info { replica: self.own.replica.clone() }, captured).await?)
    }
}

#[async_trait]
impl Listener for ToyListener {
    fn features(&self) -> &'static [&'static str] {
        &[needs::EXCLUDES]
    }

    async fn check(&self, request: &CheckRequest) -> Vec<Line> {
        let mut lines = vec![driver::look(&self.own.replica, &self.own.directory).await];
        if request.store {
            lines.push(match self.store() {
                Ok(_) => Line::ok("store", "store", "it opens"),
                Err(failure) => Line::fail("store", "store", failure.message, failure.hint.as_deref().unwrap_or("")),
            });
        }
        lines
    }

    async fn capture(
        &self,
        assignment: &Assignment<Capture>,
        progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Result<StoredRef, Failure> {
        let stage = Stage::new(self.store()?, assignment, &self.own.replica);
        let over = || async { self.give_back(assignment).await.and(Err(Failure::cancelled())) };
        if assignment.work.step.over {
            return over().await;
        }
        let slice = match stage.done().await? {
            Some(slice) => slice,
            None => tokio::select! {
                slice = self.ship(&stage, assignment, progress) => slice?,
                () = cancel.cancelled() => return over().await,
            },
        };
        self.give_back(assignment).await?;
        Ok(slice)
    }
}

/// The object of a directory's name.
///
/// # Errors
/// Where the name is empty.
pub fn object_name(directory: &str) -> Result<ObjectName, ParseError> {
    ObjectName::new([directory])
}

/// Names of files may be any text: what is stored is called by their digests.
fn item(name: &str) -> Result<Item, ParseError> {
    let folder = Digest::of(name.as_bytes()).to_string();
    Ok(Item { object: object_name(name)?, object_id: name.to_owned(), folder })
}

fn parcels(snapshot: &Snapshot, object: &str, held: &Held) -> Result<Vec<Parcel>, String> {
    let files = match held {
        Held::Files(files) => files,
        Held::Unreadable(reason) => return Err(reason.clone()),
    };
    let parcel = |(name, size): (&String, &u64)| Parcel {
        file: LocalFile { path: snapshot.path(object, name), name: name.clone(), size: *size },
        encoding: Encoding::Plain,
        place: Digest::of(name.as_bytes()).to_string(),
    };
    Ok(files.iter().map(parcel).collect())
}

/// Runs work on files off the runtime.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, super::replica::Error> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| away(&error)),
        Err(ended) => Err(Failure::new(DIRECTORY, joined(&ended))),
    }
}

/// A failed line of a check says what to do.
pub(super) fn fail(name: &str, subject: &str, failure: &Failure) -> check::Line {
    let hint = failure.hint.as_deref().unwrap_or("see docs of the toy source");
    Line::fail(name, subject, &failure.message, hint)
}
