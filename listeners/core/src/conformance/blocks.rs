//! Rules for [`BlockSource`].

use std::sync::Arc;

use async_trait::async_trait;
use object_store::{ObjectStore, ObjectStoreExt};
use tidemark_catalog::{
    content::{Blocks, Content},
    document,
    entry::{Entry, ObjectLine, Quality},
    layout,
};
use tidemark_gateway::Digest;

use super::{Broken, Rule, Suite, done, ensure, records::flip};
use crate::{
    blocks::{BlockSource, SealJob},
    progress,
};

/// A source of blocks with one object to seal.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The implementation.
    fn source(&self) -> &dyn BlockSource;

    /// A job in a store of its own, whose slices hold the whole of one object that is not empty.
    async fn job(&self) -> SealJob;
}

/// Runs all rules.
///
/// # Errors
/// [`Broken`] naming every rule that is not kept.
pub async fn all(subject: &dyn Subject) -> Result<(), Broken> {
    let mut suite = Suite::default();
    suite.rule("a seal gives the same root for the same", repeated(subject)).await;
    suite.rule("an entry is proven by what it names", verified(subject)).await;
    suite.rule("a damaged leaf proves nothing", damaged(subject)).await;
    suite.rule("a lost leaf proves nothing", lost(subject)).await;
    suite.rule("another root or size is not proven", other(subject)).await;
    suite.rule("an entry names nothing that is staged", own_names(subject)).await;
    suite.rule("an object that a listener could not read is missing", unreadable_line(subject)).await;
    suite.rule("an object that no slice holds is no empty object", absent(subject)).await;
    suite.end()
}

async fn sealed(subject: &dyn Subject) -> Result<(Arc<dyn ObjectStore>, ObjectLine, Entry), String> {
    let job = subject.job().await;
    let line = done("seal", subject.source().seal(&job).await)?;
    let reference = line.entry.clone().ok_or("the line has no entry")?;
    let entry = done("read the entry", document::read::<Entry>(&job.store, &reference).await)?;
    Ok((job.store, line, entry))
}

fn blocks(entry: &Entry) -> Result<&Blocks, String> {
    match &entry.content {
        Content::Blocks(blocks) => Ok(blocks),
        Content::Records(_) => Err("the entry holds records".to_owned()),
    }
}

async fn repeated(subject: &dyn Subject) -> Rule {
    let ((_, line, one), (_, _, other)) = (sealed(subject).await?, sealed(subject).await?);
    let (one_blocks, other) = (blocks(&one)?, blocks(&other)?);
    ensure((one_blocks.root, one_blocks.size) == (other.root, other.size), || format!("{one_blocks:?}, {other:?}"))?;
    ensure(one_blocks.size > 0 && !one_blocks.leaves.is_empty(), || "the subject's object is empty".to_owned())?;
    ensure((&line.quality, &line.figures) == (&one.quality, &one.figures), || format!("{line:?} is not {one:?}"))
}

async fn verified(subject: &dyn Subject) -> Rule {
    let (store, _, entry) = sealed(subject).await?;
    let found = done("verify", subject.source().verify(&store, &entry, progress::silent()).await)?;
    ensure(found == blocks(&entry)?.size, || {
        format!("{found} bytes were read of {}", blocks(&entry).map_or(0, |b| b.size))
    })
}

async fn unproven(subject: &dyn Subject, store: &Arc<dyn ObjectStore>, entry: &Entry, harm: &str) -> Rule {
    match subject.source().verify(store, entry, progress::silent()).await {
        Ok(bytes) => Err(format!("{bytes} bytes are proven with {harm}")),
        Err(failure) => ensure(!failure.message.is_empty() && !failure.cancelled, || format!("{failure:?}")),
    }
}

async fn damaged(subject: &dyn Subject) -> Rule {
    let leaves = blocks(&sealed(subject).await?.2)?.leaves.len();
    for index in 0..leaves {
        let (store, _, entry) = sealed(subject).await?;
        flip(&store, &blocks(&entry)?.leaves[index].path()).await?;
        unproven(subject, &store, &entry, "a bit of a leaf turned").await?;
    }
    Ok(())
}

async fn lost(subject: &dyn Subject) -> Rule {
    let leaves = blocks(&sealed(subject).await?.2)?.leaves.len();
    for index in 0..leaves {
        let (store, _, entry) = sealed(subject).await?;
        done("delete", store.delete(&blocks(&entry)?.leaves[index].path()).await)?;
        unproven(subject, &store, &entry, "a leaf deleted").await?;
    }
    Ok(())
}

/// Listeners may write below the staged folder, and collection takes what lies there.
async fn own_names(subject: &dyn Subject) -> Rule {
    let job = subject.job().await;
    let staged = format!("{}/", layout::staged_root(&job.source));
    let (_, _, entry) = sealed(subject).await?;
    let below = blocks(&entry)?.leaves.iter().find(|leaf| leaf.key.starts_with(&staged));
    ensure(below.is_none(), || format!("{below:?} is staged"))
}

/// A slice says that the object could not be read.
async fn unreadable_line(subject: &dyn Subject) -> Rule {
    let mut job = subject.job().await;
    let mut slices = job.slices.to_vec();
    for object in slices.iter_mut().flat_map(|slice| &mut slice.objects) {
        object.unreadable = Some("a bit fell".to_owned());
        object.files.clear();
    }
    job.slices = Arc::new(slices);
    let line = done("seal", subject.source().seal(&job).await)?;
    let said = matches!(&line.quality, Quality::Missing { reason } if reason.contains("a bit fell"));
    ensure(line.entry.is_none() && said, || format!("{line:?}"))
}

async fn other(subject: &dyn Subject) -> Rule {
    let (store, _, entry) = sealed(subject).await?;
    let own = blocks(&entry)?.clone();
    for content in [Blocks { root: Digest::of(b"another"), ..own.clone() }, Blocks { size: own.size + 1, ..own }] {
        let other = Entry { content: Content::Blocks(content), ..entry.clone() };
        unproven(subject, &store, &other, "another root or size").await?;
    }
    Ok(())
}

async fn absent(subject: &dyn Subject) -> Rule {
    let mut job = subject.job().await;
    job.object = done("a name", "no/such".parse())?;
    match subject.source().seal(&job).await {
        Ok(line) => {
            ensure(line.entry.is_none() && matches!(line.quality, Quality::Missing { .. }), || format!("{line:?}"))
        }
        Err(failure) => ensure(!failure.message.is_empty(), || format!("{failure:?}")),
    }
}
