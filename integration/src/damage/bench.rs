//! Captures and consolidates one table's snapshot in process, whole or harmed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail, ensure};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path as Key};
use serde_json::json;
use tempfile::TempDir;
use tidemark_catalog::{
    content::{self, Content, Records, SegmentRef},
    document,
    entry::{Entry, ObjectLine, Quality},
    ids::{FencingToken, ObjectName},
    keys::KeyRange,
    names::Names,
    slice::SliceManifest,
};
use tidemark_gateway::Env;
use tidemark_listener_cassandra::{
    capture::{TakenSnapshot, ship_taken},
    driver::CassandraDriver,
};
use tidemark_listener_core::{
    assignment::{Assignment, Capture},
    failure::Failure,
    progress,
    records::{ConsolidateJob, ConsolidateLimits},
    source::Source,
};
use tidemark_records::consolidate;
use tokio_util::sync::CancellationToken;

use super::{Harm, Shelf, harm::files_in};

/// Claim under which everything is written.
const TOKEN: FencingToken = FencingToken { generation: 1, revision: 1 };

/// What a version would hold of a table: its entry without what says where it came from, and its segments by digest.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    entry: Entry,
    segments: Vec<SegmentRef>,
}

impl State {
    async fn read(store: &Arc<dyn ObjectStore>, entry: Entry) -> Result<Self> {
        let records = entry.content.records().context("a table has records")?.clone();
        let segments = content::ranges(store, &records.baseline).await?;
        // Files that no row depends on may be gone or shorter: what was merged is not compared.
        let content = Content::Records(Records { baseline: Vec::new(), merged: Vec::new(), ..records });
        let mut entry = Entry { content, ..entry };
        (entry.figures.logical_bytes, entry.figures.shipped_bytes) = (0, 0);
        Ok(Self { entry, segments })
    }

    /// Live rows and live static rows.
    pub fn rows(&self) -> (u64, u64) {
        (self.entry.figures.records, self.entry.figures.count("cassandra", "static_rows"))
    }
}

/// What came of a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A state.
    State(Box<State>),
    /// No state, and why.
    Refused(String),
}

/// A table's snapshot, and what comes of it while it is whole.
#[derive(Debug)]
pub struct Bench {
    data: PathBuf,
    relative: PathBuf,
    taken: TakenSnapshot,
    object: ObjectName,
    whole: State,
    files: Vec<(String, u64)>,
    staged: Vec<(String, u64)>,
}

impl Bench {
    /// A bench for one table of the shelf.
    ///
    /// # Errors
    /// Where the whole snapshot does not become a state, or another one each time.
    pub async fn new(shelf: &Shelf, table: &str) -> Result<Self> {
        let relative = shelf.relative(table)?;
        let files = files_in(&shelf.data().join(&relative))?;
        let object = ObjectName::new([shelf.keyspace(), table])?;
        let (data, taken) = (shelf.data().to_owned(), shelf.taken().clone());
        let trial = Trial { data: &data, taken: &taken, object: &object };
        let (whole, staged) = trial.whole().await.with_context(|| format!("{object}, whole"))?;
        let again = trial.whole().await?;
        ensure!(again == (whole.clone(), staged.clone()), "{object}: the same files gave another state");
        Ok(Self { data, relative, taken, object, whole, files, staged })
    }

    /// The table.
    pub fn object(&self) -> &ObjectName {
        &self.object
    }

    /// What comes of the whole snapshot.
    pub fn whole(&self) -> &State {
        &self.whole
    }

    /// Files of the snapshot with their sizes.
    pub fn files(&self) -> &[(String, u64)] {
        &self.files
    }

    /// Objects that are staged of the whole snapshot, with their sizes.
    pub fn staged(&self) -> &[(String, u64)] {
        &self.staged
    }

    /// Path of the snapshot.
    pub fn directory(&self) -> PathBuf {
        self.data.join(&self.relative)
    }

    /// What comes of the snapshot after these harms to its files.
    ///
    /// # Errors
    /// Where a harm cannot be done, or the work would be tried again for ever.
    pub async fn harmed(&self, harms: &[Harm]) -> Result<Outcome> {
        let copy = self.linked()?;
        harms.iter().try_for_each(|harm| harm.apply(&copy.path().join(&self.relative)))?;
        let trial = Trial { data: copy.path(), taken: &self.taken, object: &self.object };
        trial.run(&[]).await.map(|(outcome, _)| outcome)
    }

    /// What comes of the whole snapshot after these harms to what was staged of it.
    ///
    /// # Errors
    /// As [`Bench::harmed`].
    pub async fn harmed_in_store(&self, harms: &[Harm]) -> Result<Outcome> {
        let trial = Trial { data: &self.data, taken: &self.taken, object: &self.object };
        trial.run(harms).await.map(|(outcome, _)| outcome)
    }

    /// What comes of the snapshot when its SSTables are of another version by their names.
    ///
    /// # Errors
    /// As [`Bench::harmed`], and where anything of it is staged.
    pub async fn foreign(&self, version: &str) -> Result<Outcome> {
        let copy = self.linked()?;
        let directory = copy.path().join(&self.relative);
        for (name, _) in &self.files {
            if let Some(rest) = name.strip_prefix("nb-") {
                fs::rename(directory.join(name), directory.join(format!("{version}-{rest}")))?;
            }
        }
        let manifest = directory.join("manifest.json");
        let listed = fs::read_to_string(&manifest)?.replace("\"nb-", &format!("\"{version}-"));
        fs::remove_file(&manifest)?;
        fs::write(&manifest, listed)?;
        let trial = Trial { data: copy.path(), taken: &self.taken, object: &self.object };
        let (outcome, staged) = trial.run(&[]).await?;
        ensure!(staged.is_empty(), "{}: {} files of a foreign version were shipped", self.object, staged.len());
        Ok(outcome)
    }

    /// A data directory whose files are links to the whole ones.
    fn linked(&self) -> Result<TempDir> {
        let copy = tempfile::Builder::new().prefix("tidemark-harmed-").tempdir()?;
        let directory = copy.path().join(&self.relative);
        fs::create_dir_all(&directory)?;
        for (name, _) in &self.files {
            fs::hard_link(self.directory().join(name), directory.join(name))?;
        }
        Ok(copy)
    }
}

/// One capture and consolidation.
struct Trial<'a> {
    data: &'a Path,
    taken: &'a TakenSnapshot,
    object: &'a ObjectName,
}

impl Trial<'_> {
    async fn whole(&self) -> Result<(State, Vec<(String, u64)>)> {
        match self.run(&[]).await? {
            (Outcome::State(state), staged) => Ok((*state, staged)),
            (Outcome::Refused(why), _) => bail!("{why}"),
        }
    }

    /// The outcome, and the files that were staged.
    async fn run(&self, harms: &[Harm]) -> Result<(Outcome, Vec<(String, u64)>)> {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let data = [self.data.to_owned()];
        let shipped =
            ship_taken(Arc::clone(&store), &data, self.taken.clone(), &self.assignment()?, progress::silent()).await;
        let slice: SliceManifest = document::read(&store, &shipped?).await?;
        let staged = slice.objects.iter().flat_map(|object| &object.files);
        let staged = staged.map(|file| (file.stored.key.clone(), file.stored.size)).collect();
        for harm in harms {
            harm_object(&store, harm).await?;
        }
        let outcome = match self.consolidate(self.job(&store, slice)?).await {
            Err(error) if error.retryable || error.cancelled => bail!("damage is not taken for final: {error}"),
            Err(error) => Outcome::Refused(error.message),
            Ok(line) => match (line.entry, line.quality) {
                (Some(entry), Quality::Cut) => {
                    let entry: Entry = document::read(&store, &entry).await?;
                    Outcome::State(Box::new(State::read(&store, entry).await?))
                }
                (None, Quality::Missing { reason }) => Outcome::Refused(reason),
                (_, quality) => bail!("neither a state nor a reason: {quality:?}"),
            },
        };
        Ok((outcome, staged))
    }

    async fn consolidate(&self, job: ConsolidateJob) -> Result<ObjectLine, Failure> {
        let driver = CassandraDriver::new(job.env.clone());
        consolidate::object(&driver, driver.kind(), job, &[KeyRange::all()]).await
    }

    fn assignment(&self) -> Result<Assignment<Capture>> {
        Ok(Assignment {
            id: "damage".to_owned(),
            source: "s".parse()?,
            task: "t".parse()?,
            token: TOKEN,
            needs: Vec::new(),
            repository: "r".to_owned(),
            work: Capture { objects: vec![self.object.parts().join("/")], ..Capture::default() },
        })
    }

    fn job(&self, store: &Arc<dyn ObjectStore>, slice: SliceManifest) -> Result<ConsolidateJob> {
        Ok(ConsolidateJob {
            source: "s".parse()?,
            object: self.object.clone(),
            slices: Arc::new(vec![slice]),
            absent: Arc::default(),
            previous: None,
            store: Arc::clone(store),
            names: Arc::new(Names::new("s".parse()?, TOKEN)),
            unreadable: BTreeMap::new(),
            options: json!({"write_level": "one"}),
            limits: ConsolidateLimits {
                memory_bytes: 16 << 20,
                segment_bytes: 8 << 10,
                ..ConsolidateLimits::default()
            },
            env: Env::system(),
            progress: progress::silent(),
            cancel: CancellationToken::new(),
        })
    }
}

async fn harm_object(store: &Arc<dyn ObjectStore>, harm: &Harm) -> Result<()> {
    let key = Key::from(harm.file.as_str());
    let bytes = store.get(&key).await?.bytes().await?.to_vec();
    match harm.harmed(bytes)? {
        Some(bytes) => drop(store.put(&key, bytes.into()).await?),
        None => store.delete(&key).await?,
    }
    Ok(())
}
