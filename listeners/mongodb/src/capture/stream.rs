//! The change stream of a capture: events are kept until there are 8 MiB of them, then stored as runs.
//!
//! All events before [`Stream::proven`] were given: a token of the server's own form proves it, and so does an event
//! that arrived, because events come in order. An empty batch proves nothing.

use std::{collections::BTreeMap, time::Duration};

use tidemark_catalog::opaque::Opaque;
use tidemark_gateway::{Env, causes::joined};
use tidemark_listener_core::failure::Failure;

use super::{
    beat::Beat,
    journal::{Journal, Streamed},
    names::Chosen,
    told::{Told, Unsaid},
};
use crate::{
    codes::{CAPTURE, GAP, UNKNOWN_EVENT},
    connect::{Batches, Error, Said, Server},
    event::{self, Event, Subject},
    raw::{Builder, kind},
    staged::{Holds, Run},
    time::{ClusterTime, Position},
    token,
};

/// Bytes of events in memory before they are stored.
const BUFFER_BYTES: usize = 8 << 20;

/// Longest wait of one batch.
const WAIT: Duration = Duration::from_millis(500);

/// Times that the stream is opened again without a batch in between.
const REOPENS: u32 = 5;

/// An event that is kept: key, position, bytes.
type Kept = (Opaque, Position, Vec<u8>);

/// See the module.
pub(super) struct Stream<'a> {
    server: &'a Server,
    journal: &'a Journal,
    chosen: &'a Chosen,
    env: &'a Env,
    batches: Option<Batches>,
    token: Vec<u8>,
    /// All events before this time were given.
    pub(super) proven: ClusterTime,
    kept: BTreeMap<String, Vec<Kept>>,
    kept_bytes: usize,
    /// What it told so far.
    pub(super) told: Told,
    /// Stored runs, by UUID.
    pub(super) runs: Vec<(String, super::journal::RunFile)>,
    stretches: u32,
}

impl<'a> Stream<'a> {
    /// The token of a stream that begins at a time.
    pub(super) async fn first_token(server: &Server, from: ClusterTime) -> Result<Vec<u8>, Failure> {
        let start =
            |builder: Builder| builder.with(kind::TIMESTAMP, b"startAtOperationTime", &from.bits().to_le_bytes());
        let mut batches = open(server, start).await.map_err(|error| failed(&error))?;
        let batch = batches.next().await.map_err(|error| failed(&error))?;
        let token = match &batch {
            Some(batch) => batch.resume_token().map_err(|error| failed(&error))?,
            None => None,
        };
        token
            .map(<[u8]>::to_vec)
            .ok_or_else(|| Failure::new(CAPTURE, "the change stream begins without a resume token"))
    }

    /// A stream that goes on behind all that an earlier run stored.
    pub(super) async fn resume(
        server: &'a Server,
        journal: &'a Journal,
        chosen: &'a Chosen,
        env: &'a Env,
        (from, token): (ClusterTime, Vec<u8>),
    ) -> Result<Self, Failure> {
        let mut stream = Self {
            server,
            journal,
            chosen,
            env,
            batches: None,
            token,
            proven: from,
            kept: BTreeMap::new(),
            kept_bytes: 0,
            told: Told::default(),
            runs: Vec::new(),
            stretches: 0,
        };
        while let Some(stretch) = journal.recall::<Streamed>(&stretch_name(stream.stretches)).await? {
            stream.take(stretch);
        }
        Ok(stream)
    }

    fn take(&mut self, stretch: Streamed) {
        self.stretches += 1;
        self.told.take(&stretch);
        self.runs.extend(stretch.runs);
        self.token = stretch.token.as_bytes().to_vec();
        self.proven = stretch.proven;
    }

    /// Reads one batch, waiting up to half a second for it; true where it held an event.
    pub(super) async fn read(&mut self) -> Result<bool, Failure> {
        let mut opened = 0;
        loop {
            let outcome = self.next().await;
            match outcome {
                Ok(batch) => return self.batch(&batch).await,
                Err(error) if error.is_retryable() && opened < REOPENS => {
                    tracing::warn!(error = joined(&error), "the change stream broke off and is opened again");
                    self.batches = None;
                    opened += 1;
                    tokio::time::sleep(WAIT * 2_u32.pow(opened)).await;
                }
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    /// Reads all that is there, but not for ever: until a batch is empty, or so many were read.
    pub(super) async fn drain(&mut self, batches: u32) -> Result<(), Failure> {
        for _ in 0..batches {
            if !self.read().await? {
                break;
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<crate::connect::Batch, Error> {
        if self.batches.is_none() {
            let token = self.token.clone();
            self.batches = Some(open(self.server, |builder| builder.document("resumeAfter", &token)).await?);
        }
        let next = match &mut self.batches {
            Some(batches) => batches.next().await?,
            None => None,
        };
        next.ok_or_else(|| Error::Reply {
            place: self.server.place().to_owned(),
            command: "aggregate".to_owned(),
            what: "the change stream ended".to_owned(),
        })
    }

    async fn batch(&mut self, batch: &crate::connect::Batch) -> Result<bool, Failure> {
        let mut any = false;
        for event in batch.documents().map_err(|error| failed(&error))? {
            self.event(event.map_err(|error| failed(&error))?)?;
            any = true;
        }
        if let Some(token) = batch.resume_token().map_err(|error| failed(&error))? {
            let read = token::read(token).map_err(|error| Failure::new(CAPTURE, joined(&error)))?;
            self.proven = self.proven.max(read.proves_before.unwrap_or_default());
            self.token = token.to_vec();
        }
        if self.kept_bytes >= BUFFER_BYTES {
            self.store().await?;
        }
        Ok(any)
    }

    fn event(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let event = Event::read(bytes).map_err(|error| match error {
            event::Error::Unknown(_) => Failure::new(UNKNOWN_EVENT, joined(&error))
                .with_hint("see which build knows it: nobody can tell what it did"),
            other => Failure::new(CAPTURE, joined(&other)),
        })?;
        self.proven = self.proven.max(event.at.time);
        match event.subject {
            Subject::Document { ref id, .. } if self.chosen.has(&event.namespace) => {
                let key = id.sort_bytes().map_err(|error| Failure::new(CAPTURE, format!("document {id}: {error}")))?;
                self.keep(&event, Opaque::new(key), bytes)?;
            }
            Subject::Document { .. } => {}
            Subject::Catalog { ref what, ref to } => {
                self.told.catalog(&event, what, to.as_ref(), self.chosen).map_err(unsaid)?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, event: &Event, key: Opaque, bytes: &[u8]) -> Result<(), Failure> {
        let uuid = hex::encode(event.uuid.ok_or(Unsaid).map_err(unsaid)?);
        self.told.document(&uuid, event.at.time, &event.namespace);
        self.kept_bytes += bytes.len() + key.as_bytes().len();
        self.kept.entry(uuid).or_default().push((key, event.at.clone(), bytes.to_vec()));
        Ok(())
    }

    /// Stores what is kept, and how far the stream came.
    pub(super) async fn store(&mut self) -> Result<(), Failure> {
        let number = self.stretches;
        let mut runs = Vec::new();
        for (uuid, mut kept) in std::mem::take(&mut self.kept) {
            kept.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
            let (Some(first), Some(last)) = (kept.first(), kept.last()) else { continue };
            let run = Run {
                name: format!("events-{number:06}"),
                holds: Holds::Events,
                first: first.0.clone(),
                last: last.0.clone(),
                count: kept.len() as u64,
            };
            let bytes = kept.into_iter().flat_map(|(.., bytes)| bytes).collect();
            let file = self.journal.file(&uuid, run, bytes).await?;
            runs.push((uuid, file));
        }
        self.kept_bytes = 0;
        let stretch = self.told.stretch(runs.clone(), Opaque::new(self.token.clone()), self.proven);
        self.journal.note(&stretch_name(number), &stretch).await?;
        self.stretches = number + 1;
        self.told.noted();
        self.runs.extend(runs);
        Ok(())
    }

    /// Reads until all events before a time and itself are proven to have been given; beats while nothing comes.
    pub(super) async fn prove(
        &mut self,
        through: ClusterTime,
        within: Duration,
        beat: &Beat<'_>,
    ) -> Result<(), Failure> {
        let started = self.env.monotonic();
        while self.proven <= through {
            if !self.read().await? {
                beat.now().await?;
            }
            if self.env.monotonic().saturating_sub(started) > within {
                return Err(self.unproven(through, within));
            }
        }
        Ok(())
    }

    fn unproven(&self, through: ClusterTime, within: Duration) -> Failure {
        let (proven, seconds) = (self.proven, within.as_secs());
        let words = format!(
            "after {seconds} s it is proven up to {proven} only that all changes were given, not up to {through}"
        );
        Failure::retryable(super::run::UNPROVEN, words)
            .with_hint("an idle deployment gives no events: name a heartbeat collection in the specification")
    }
}

fn unsaid(error: Unsaid) -> Failure {
    Failure::new(CAPTURE, error.to_string())
}

fn stretch_name(number: u32) -> String {
    format!("events-{number:06}")
}

async fn open(server: &Server, from: impl FnOnce(Builder) -> Builder) -> Result<Batches, Error> {
    let stage = from(Builder::default().truth("allChangesForCluster", true).truth("showExpandedEvents", true)).finish();
    let stage = Builder::default().document("$changeStream", &stage).finish();
    let command = Builder::default()
        .int("aggregate", 1)
        .documents("pipeline", [&stage[..]])
        .document("cursor", &Builder::default().finish())
        .document("readConcern", &Builder::default().text("level", "majority").finish())
        .finish();
    server.cursor("admin", command, Some(WAIT)).await
}

fn failed(error: &Error) -> Failure {
    // A token that is none of this log's is wrong by its form to some servers.
    match error.said() {
        Said::Lost | Said::Malformed => {
            error.coded(GAP).with_hint("the log no longer reaches back so far: the next capture begins anew")
        }
        _ => error.coded(CAPTURE),
    }
}
