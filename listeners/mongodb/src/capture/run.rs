//! One capture, from its beginning or from where an earlier run of its task came to.

use std::{collections::BTreeMap, time::Duration};

use tidemark_catalog::{opaque::Opaque, stored::StoredRef};
use tidemark_gateway::{Env, causes::joined, pause};
use tidemark_listener_core::{
    failure::Failure,
    progress::{Progress, ProgressSink},
    ship::{Captured, Stage},
};

use super::{
    beat::Beat,
    journal::{Begun, Ended, Journal},
    judge::{self, Listing, Look},
    names::Chosen,
    scan::Scan,
    stream::Stream,
};
pub(super) use crate::codes::UNPROVEN;
use crate::{
    codes::CAPTURE,
    connect::{Error, Server},
    describe::{self, Listed},
    staged::Partition,
    time::ClusterTime,
};

/// Times that the collections are listed again because some came, went or changed meanwhile.
pub(super) const ROUNDS: u32 = 6;

/// Batches of events between two runs of a scan.
const BATCHES_BETWEEN: u32 = 4;

/// Longest wait for the proof that all events were given.
const PROOF: Duration = Duration::from_secs(90);

/// See the module.
pub(super) struct Capture<'a> {
    /// The deployment: its primary knows the time and the collections.
    pub(super) whole: &'a Server,
    /// What is read: the deployment, or one of its members.
    pub(super) read: &'a Server,
    pub(super) journal: &'a Journal,
    pub(super) stage: &'a Stage,
    pub(super) chosen: &'a Chosen,
    pub(super) beat: Beat<'a>,
    pub(super) env: &'a Env,
    pub(super) progress: &'a ProgressSink,
}

impl Capture<'_> {
    /// The capture, or what is left of it; the slice.
    pub(super) async fn run(&self) -> Result<StoredRef, Failure> {
        let ended = match self.journal.recall::<Ended>("ended").await? {
            Some(ended) => ended,
            None => self.capture().await?,
        };
        let Ended { started, finished, partition, objects } = ended;
        Ok(self.stage.finish(&partition, Captured { started, finished, objects }).await?)
    }

    async fn capture(&self) -> Result<Ended, Failure> {
        let begun = self.begin().await?;
        let token = begun.token.as_bytes().to_vec();
        let mut stream = Stream::resume(self.read, self.journal, self.chosen, self.env, (begun.from, token)).await?;
        // What is written before the stream begins, but shows later, is there when something behind the beginning was
        // given.
        stream.prove(begun.from, PROOF, &self.beat).await?;
        let mut scans = BTreeMap::new();
        let mut round = 0;
        let (listing, again, disturbed) = loop {
            let listing = self.list(stream.proven).await?;
            self.scan(&listing, &mut scans, &mut stream).await?;
            let through =
                scans.values().filter_map(|scan: &Scan| Some(scan.bracket?.1)).fold(listing.until, ClusterTime::max);
            stream.prove(through, PROOF, &self.beat).await?;
            let again = self.names().await?;
            let disturbed = look(&listing, &again, &scans, &stream).disturbed();
            round += 1;
            if disturbed.is_empty() || round == ROUNDS {
                break (listing, again, disturbed);
            }
            tracing::info!(round, ?disturbed, "collections changed meanwhile: they are listed again");
        };
        stream.store().await?;
        let hello = describe::hello(self.whole).await.map_err(|error| failed(&error))?;
        let version = describe::version(self.read).await.map_err(|error| failed(&error))?;
        let (collections, objects) = look(&listing, &again, &scans, &stream).taken(&disturbed);
        let (set, before) = (hello.set.unwrap_or_default(), stream.proven);
        let partition = Partition { set, version, from: begun.from, before, collections };
        let ended = Ended { started: listing.started, finished: self.env.now(), partition, objects };
        self.journal.note("ended", &ended).await?;
        Ok(ended)
    }

    async fn begin(&self) -> Result<Begun, Failure> {
        if let Some(begun) = self.journal.recall("begun").await? {
            return Ok(begun);
        }
        let from = self.time().await?;
        let token = Stream::first_token(self.read, from).await?;
        let begun = Begun { from, token: Opaque::new(token) };
        self.journal.note("begun", &begun).await?;
        Ok(begun)
    }

    async fn time(&self) -> Result<ClusterTime, Failure> {
        describe::time(self.whole).await.map_err(|error| failed(&error))
    }

    /// Lists what there is at a time that is proven, or later.
    async fn list(&self, from: ClusterTime) -> Result<Listing, Failure> {
        let started = self.env.now();
        let mut collections = Vec::new();
        for listed in self.names().await? {
            let schema = describe::schema(self.whole, &listed).await.map_err(|error| failed(&error))?;
            collections.extend(schema.map(|schema| (listed, schema)));
        }
        Ok(Listing { started, from, until: self.time().await?, collections })
    }

    /// The collections and views that are captured, as they are called now.
    async fn names(&self) -> Result<Vec<Listed>, Failure> {
        let all = describe::collections(self.whole).await.map_err(|error| failed(&error))?;
        Ok(all.into_iter().filter(|listed| self.chosen.has(&listed.namespace)).collect())
    }

    /// Reads all collections of a listing that were not read under their names.
    async fn scan(
        &self,
        listing: &Listing,
        scans: &mut BTreeMap<String, Scan>,
        stream: &mut Stream<'_>,
    ) -> Result<(), Failure> {
        for (listed, _) in
            listing.collections.iter().filter(|(listed, _)| listed.unsupported().is_none() && !listed.is_view())
        {
            let attempt = match scans.remove(&listed.uuid) {
                None => 0,
                Some(scan) if judge::settled(&scan, &listed.namespace, &stream.told) => {
                    scans.insert(listed.uuid.clone(), scan);
                    continue;
                }
                Some(scan) => scan.attempt() + 1,
            };
            let mut scan = Scan::recall(self.journal, &listed.uuid, attempt).await?;
            while !scan.over {
                // Another collection may have its name by now, or none: the next listing says how it is called.
                if judge::moved_since(listing, &listed.namespace, &stream.told) {
                    break;
                }
                // All that was written before a proven time shows to who reads now.
                if !scan.piece(self.read, listed, self.journal, stream.proven).await? {
                    break;
                }
                pause::point("mid-upload");
                self.tell(listed, &scan);
                stream.drain(BATCHES_BETWEEN).await?;
            }
            scans.insert(listed.uuid.clone(), scan);
        }
        Ok(())
    }

    fn tell(&self, listed: &Listed, scan: &Scan) {
        let done = scan.files.iter().map(|file| file.file.size).sum();
        let phase = format!("scan {}.{}", listed.namespace.database, listed.namespace.collection);
        (self.progress)(Progress { phase, done, total: 0, unit: "bytes".to_owned() });
    }
}

fn look<'a>(
    listing: &'a Listing,
    again: &'a [Listed],
    scans: &'a BTreeMap<String, Scan>,
    stream: &'a Stream<'_>,
) -> Look<'a> {
    Look { listing, scans, told: &stream.told, runs: &stream.runs, proven: stream.proven, again }
}

fn failed(error: &Error) -> Failure {
    let failure = error.coded(CAPTURE);
    Failure { message: joined(error), ..failure }
}
