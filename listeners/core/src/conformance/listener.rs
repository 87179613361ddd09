//! Rules for [`Listener`].

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use object_store::ObjectStore;
use tidemark_catalog::{document, door, ids::FencingToken, layout, slice::SliceManifest, stored::StoredRef};
use tokio_util::sync::CancellationToken;

use super::{Broken, Rule, Suite, done, ensure, records::names};
use crate::{
    assignment::{Assignment, Capture, CheckRequest},
    listener::Listener,
    progress,
};

/// A listener that is ready to capture.
pub struct Ready {
    /// The listener.
    pub listener: Arc<dyn Listener>,
    /// The step of a capture that ships; earlier ones have been done.
    pub assignment: Assignment<Capture>,
    /// The listener's store.
    pub store: Arc<dyn ObjectStore>,
}

/// A listener beside a partition that holds something.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The implementation, with an empty store.
    async fn ready(&self) -> Ready;

    /// The step that ships of another task in the same store; earlier ones have been done.
    async fn next_task(&self, ready: &Ready) -> Assignment<Capture> {
        let task = "fedcba9876543210fedcba9876543210".parse().expect("32 hexadecimal digits are a task's id");
        Assignment { task, ..ready.assignment.clone() }
    }
}

/// Runs all rules.
///
/// # Errors
/// [`Broken`] naming every rule that is not kept.
pub async fn all(subject: &dyn Subject) -> Result<(), Broken> {
    let mut suite = Suite::default();
    suite.rule("a slice names what is stored, in its own folder", slice(subject)).await;
    suite.rule("a capture that is done again sends nothing and says the same", resumed(subject)).await;
    suite.rule("a capture of another task reuses no name", other_task(subject)).await;
    suite.rule("a check gives lines", checks(subject)).await;
    suite.end()
}

async fn capture(ready: &Ready) -> Result<(StoredRef, SliceManifest), String> {
    let Ready { listener, assignment, store } = ready;
    let captured = listener.capture(assignment, progress::silent(), CancellationToken::new()).await;
    let reference = done("capture", captured)?;
    let slice = done("read the slice", document::read(store, &reference).await)?;
    Ok((reference, slice))
}

async fn slice(subject: &dyn Subject) -> Rule {
    let ready = subject.ready().await;
    let (reference, slice) = capture(&ready).await?;
    let Assignment { source, task, token, .. } = &ready.assignment;
    ensure((&slice.source, &slice.task, slice.token) == (source, task, *token), || format!("it says {slice:?}"))?;
    ensure(slice.started <= slice.finished, || format!("{} is after {}", slice.started, slice.finished))?;
    ensure(slice.objects.is_sorted_by(|a, b| a.object < b.object), || "its objects are not in order".to_owned())?;
    let files: Vec<&StoredRef> =
        slice.objects.iter().flat_map(|object| &object.files).map(|file| &file.stored).collect();
    ensure(!files.is_empty(), || "it holds no file".to_owned())?;
    let folder = format!("{}/", layout::staged(source, task, &slice.partition));
    for named in files.into_iter().chain([&slice.info, &reference]) {
        ensure(named.key.starts_with(&folder), || format!("{} is not in {folder}", named.key))?;
        done(&named.key, door::read(&ready.store, named).await)?;
    }
    Ok(())
}

async fn resumed(subject: &dyn Subject) -> Rule {
    let mut ready = subject.ready().await;
    let (one, _) = capture(&ready).await?;
    let before = done("list", names(&ready.store).await)?;
    ready.assignment.id.push_str("-again");
    ready.assignment.token = FencingToken { revision: ready.assignment.token.revision + 1, ..ready.assignment.token };
    let (other, _) = capture(&ready).await?;
    ensure(one == other, || format!("{} and {}", one.key, other.key))?;
    let after = done("list", names(&ready.store).await)?;
    ensure(before == after, || format!("{before:?} became {after:?}"))
}

async fn other_task(subject: &dyn Subject) -> Rule {
    let mut ready = subject.ready().await;
    capture(&ready).await?;
    let before: BTreeSet<String> = done("list", names(&ready.store).await)?.into_iter().collect();
    ready.assignment = subject.next_task(&ready).await;
    let (_, slice) = capture(&ready).await?;
    let files = slice.objects.iter().flat_map(|object| &object.files).map(|file| &file.stored.key);
    let old: Vec<_> = files.filter(|key| before.contains(*key)).collect();
    ensure(old.is_empty(), || format!("the second task names {old:?} of the first"))
}

async fn checks(subject: &dyn Subject) -> Rule {
    let ready = subject.ready().await;
    let Capture { objects, excludes, .. } = ready.assignment.work.clone();
    let request = CheckRequest { needs: Vec::new(), store: true, objects, excludes };
    let lines = ready.listener.check(&request).await;
    ensure(!lines.is_empty(), || "there is none".to_owned())?;
    let unsaid = lines.iter().find(|line| line.status == crate::check::Status::Fail && line.hint.is_none());
    ensure(unsaid.is_none(), || format!("{unsaid:?} does not say what to do"))
}
