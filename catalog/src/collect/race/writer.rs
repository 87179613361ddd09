//! A task that makes a version, as the orchestrator's does: claim, root, marks, staged files, objects, commit; and again from its
//! checkpoint under a new claim.

use std::sync::Arc;

use object_store::{ObjectStore, path::Path};
use tidemark_gateway::{Env, Stored, upload};

use super::{
    super::needs::of_entry,
    world::{Held, Off, World},
};
use crate::{
    chain::VersionSet,
    commit::{self, ManifestDraft, Numbers},
    content::{Content, RangePage, Records, SegmentRef},
    document, door,
    entry::{Cut, Entry, ObjectLine, Quality},
    figures::Figures,
    find,
    identities::{self, Identity},
    ids::{FencingToken, ObjectName, SetId, TaskId},
    keys::Key,
    layout,
    manifest::{Holds, Version},
    marks::{self, Marked},
    names::Names,
    opaque::Opaque,
    pages,
    position::Position,
    stored::StoredRef,
    testing,
    work::{self, WorkRoot},
};

const OBJECTS: [&str; 1] = ["a"];

/// One run of a writer.
pub(in crate::collect) struct Writer {
    pub(in crate::collect) world: Arc<World>,
    pub(in crate::collect) store: Arc<dyn ObjectStore>,
    pub(in crate::collect) env: Env,
    pub(in crate::collect) task: TaskId,
    pub(in crate::collect) set: SetId,
    /// Whether it shares what it can, not only sometimes.
    pub(in crate::collect) shares: bool,
}

enum Ended {
    /// Under this claim nothing comes of it; a new one goes on.
    Again,
    Done,
}

type Failed = Box<dyn std::error::Error>;

impl Writer {
    pub(in crate::collect) async fn run(self) {
        for _ in 0..8 {
            match self.claim().await {
                Ok(Ended::Again) => {}
                Ok(Ended::Done) => return self.world.with_task(&self.task, |task| task.done = true),
                // What it looked for went away under it: the next claim looks again.
                Err(_) => self.world.count("a claim failed"),
            }
        }
        self.world.count("a task gave up");
        self.world.with_task(&self.task, |task| task.done = true);
    }

    async fn claim(&self) -> Result<Ended, Failed> {
        let token = self.world.claim_of(self.world.generation());
        let names = Names::new(self.world.source.clone(), token);
        let marked = match self.world.off {
            Off::RootBeforeMarks => {
                let marked = self.marks().await?;
                self.root(&names, token).await?;
                marked
            }
            _ => {
                self.root(&names, token).await?;
                self.marks().await?
            }
        };
        self.staged(token, &marked).await?;
        let mut lines = Vec::new();
        for object in OBJECTS {
            lines.push(self.line(object, &names, &marked).await?);
        }
        for line in &lines {
            self.look(line).await?;
        }
        let objects = lines.len() as u64;
        let pages = pages::write_pages(&self.store, &names, lines).await?;
        self.commit(token, Version { pages, objects, ..Version::empty("fake") }).await
    }

    async fn root(&self, names: &Names, token: FencingToken) -> Result<(), Failed> {
        let tokens = self.world.with_task(&self.task, |task| {
            task.tokens.push(token);
            task.tokens.clone()
        });
        let (task, written) = (self.task.clone(), self.env.now());
        let root = WorkRoot { task, tokens, pins: Vec::new(), node: "n".to_owned(), written };
        work::write(&self.store, names, &self.set, &root).await?;
        Ok(())
    }

    async fn marks(&self) -> Result<Marked, Failed> {
        match self.world.off {
            Off::MarksRead => Ok(Marked::default()),
            _ => Ok(marks::read(&self.store, &self.world.source).await?),
        }
    }

    /// What was captured; anew where it is marked or gone.
    async fn staged(&self, token: FencingToken, marked: &Marked) -> Result<(), Failed> {
        let known = self.world.with_task(&self.task, |task| task.staged.clone());
        if let Some(known) = known
            && marked.first([&known]).is_none()
            && door::head(&self.store, &known).await.is_ok()
        {
            return Ok(());
        }
        let folder = layout::staged_folder(&layout::staged(&self.world.source, &self.task, "p"), "o");
        let path = layout::staged_file(&folder, token, "data");
        let stored = self.put(path, "what was captured").await?;
        self.world.with_task(&self.task, |task| task.staged = Some(stored));
        Ok(())
    }

    /// An object's state: from the checkpoint, from the version before, or made anew.
    async fn line(&self, object: &str, names: &Names, marked: &Marked) -> Result<ObjectLine, Failed> {
        let known = self.world.with_task(&self.task, |task| task.lines.get(object).cloned());
        if let Some(known) = known {
            if self.may_refer(&known, marked, true).await {
                return Ok(known);
            }
            self.world.count("a line of a checkpoint was made anew");
        } else if (self.shares || self.world.chance(2))
            && let Some(shared) = self.shared(object).await
            && self.may_refer(&shared, marked, false).await
        {
            self.world.count("a line was shared");
            return Ok(self.checkpoint(object, shared));
        }
        let line = self.make(object, names).await?;
        Ok(self.checkpoint(object, line))
    }

    fn checkpoint(&self, object: &str, line: ObjectLine) -> ObjectLine {
        self.world.with_task(&self.task, |task| task.lines.insert(object.to_owned(), line.clone()));
        line
    }

    /// The object's line in one of the newer versions of the own set, or of the first one that has any.
    async fn shared(&self, object: &str) -> Option<ObjectLine> {
        let others = find::sets(&self.store, &self.world.source).await.ok()?;
        for from in [self.set.clone()].into_iter().chain(others) {
            let set = VersionSet::new(self.store.clone(), self.world.source.clone(), from);
            let numbers = set.list().await.ok()?;
            let newest = self.world.roll(3) as usize;
            for number in numbers.iter().rev().skip(newest).take(4) {
                let manifest = set.read(*number).await.ok()?;
                if manifest.version().is_some() {
                    let lines = pages::read_lines(&self.store, &manifest).await.ok()?;
                    return lines.into_iter().find(|line| line.object.parts() == [object]);
                }
            }
        }
        None
    }

    /// Whether all that a line needs is there and nothing of it is marked.
    async fn may_refer(&self, line: &ObjectLine, marked: &Marked, checkpointed: bool) -> bool {
        let Some(entry) = &line.entry else { return false };
        let Ok(needs) = of_entry(&self.store, entry).await else { return false };
        let held = !(checkpointed && self.world.off == Off::CheckpointHeld);
        !held || marked.first(needs.all()).is_none()
    }

    async fn make(&self, object: &str, names: &Names) -> Result<ObjectLine, Failed> {
        let key = |byte: u8| Key { bytes: Opaque::new(vec![byte]), text: byte.to_string() };
        let stored = self.put(names.segment(), &format!("records of {object} of {}", self.task)).await?;
        let ranges = vec![SegmentRef { first: key(1), last: key(2), stored, records: 1 }];
        let baseline = vec![document::write(&self.store, &names.page(), &RangePage { ranges }).await?];
        let identity = Identity { partition: "p".to_owned(), id: Opaque::new(vec![1]), own: self.task.as_str().into() };
        let merged = identities::write(&self.store, names, vec![identity]).await?;
        let line = testing::line(ObjectName::new([object])?);
        let entry = entry(&line, Content::Records(Records { baseline, merged, ..Records::default() }));
        let entry = document::write(&self.store, &names.page(), &entry).await?;
        Ok(ObjectLine { entry: Some(entry), ..line })
    }

    /// Looks for all that a line needs.
    async fn look(&self, line: &ObjectLine) -> Result<(), Failed> {
        let Some(entry) = &line.entry else { return Ok(()) };
        for stored in of_entry(&self.store, entry).await?.unread {
            door::head(&self.store, &stored).await?;
        }
        Ok(())
    }

    async fn commit(&self, token: FencingToken, version: Version) -> Result<Ended, Failed> {
        let set = VersionSet::new(self.store.clone(), self.world.source.clone(), self.set.clone());
        let holds = Holds::Version(Box::new(version));
        let draft = ManifestDraft { task: self.task.to_string(), node: "n".to_owned(), holds, in_order: false };
        let numbers = if self.world.off == Off::GivenNumbers { Numbers::Lost } else { Numbers::New };
        match commit::commit(&set, &draft, &Held(token), &self.env, numbers).await {
            Ok(_) => {
                self.world.count("a version was committed");
                Ok(Ended::Done)
            }
            Err(commit::Error::Fenced { .. }) => {
                self.world.count("a claim was fenced");
                Ok(Ended::Again)
            }
            Err(commit::Error::Chain(error)) if error.is_other_store() => {
                self.world.count("a number that was lost was not given again");
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn put(&self, path: Path, text: &str) -> Result<StoredRef, Failed> {
        let bytes = text.to_owned();
        let stored: Stored = upload::put_new(&self.store, &path, bytes).await?;
        Ok(StoredRef::new(&path, stored))
    }
}

fn entry(line: &ObjectLine, content: Content) -> Entry {
    Entry {
        object: line.object.clone(),
        object_id: "1".to_owned(),
        kind: "fake".to_owned(),
        schema: serde_json::Value::Null,
        content,
        replicas: Vec::new(),
        cut: Cut { partitions: Vec::new(), ..line.cut.clone() },
        position: Position::default(),
        quality: Quality::Cut,
        figures: Figures::default(),
    }
}
