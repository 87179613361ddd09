//! What a crash leaves that no version, task or mark ever names: uploads that were begun and not ended, and objects of probes.
//!
//! Nothing refers to them, so that they need no marks: an upload that is ended while its writer lives fails where it
//! would be completed, so that nothing names what is not there. Only their age says that nobody is at work on them.

use std::{fmt, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use jiff::Timestamp;
use object_store::{ObjectStore, path::Path};
use tidemark_gateway::unfinished::{self, Unfinished, Upload};

use super::{Error, name::Kind};
use crate::{
    ids::SourceId,
    layout,
    states::{after, store_time},
};

/// Folder of the objects by which a store is tried out and asked for the time.
const PROBES: &str = ".tidemark-probe";

/// Something that a crash has left, or that somebody is at work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// An upload that was begun and not ended.
    Upload(Upload),
    /// An object of a probe.
    Probe {
        /// Its name.
        path: Path,
        /// Stored bytes.
        bytes: u64,
        /// When it was written, by the store's clock.
        since: Timestamp,
    },
}

impl Leftover {
    /// Name of the object that it is, or was to become.
    pub fn path(&self) -> &Path {
        match self {
            Self::Upload(upload) => &upload.path,
            Self::Probe { path, .. } => path,
        }
    }

    /// When it was begun, by the store's clock.
    pub fn since(&self) -> Timestamp {
        match self {
            Self::Upload(upload) => upload.begun,
            Self::Probe { since, .. } => *since,
        }
    }

    /// When it is of this age, by the store's clock.
    pub fn aged(&self, age: Duration) -> Timestamp {
        after(self.since(), age)
    }

    /// What it holds, bytes; `None` where the store does not say it in a list.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Upload(upload) => upload.bytes,
            Self::Probe { bytes, .. } => Some(*bytes),
        }
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upload(_) => f.write_str("an upload that was not ended"),
            Self::Probe { .. } => f.write_str("a probe"),
        }
    }
}

/// All of them in a store, whatever their age, page by page and in no order; uploads to names that no build of ours writes are
/// left out. The stream ends after an error.
///
/// # Errors
/// [`Error::List`], [`Error::Uploads`].
pub fn leftovers<'a>(
    store: &'a Arc<dyn ObjectStore>,
    unfinished: &Unfinished,
) -> BoxStream<'a, Result<Leftover, Error>> {
    let probes = store.list(Some(&Path::from(PROBES))).map_err(|source| Error::List { prefix: PROBES.into(), source });
    let probes = probes.map_ok(|meta| {
        let since = store_time(&meta);
        Leftover::Probe { path: meta.location, bytes: meta.size, since }
    });
    let uploads = unfinished.list(None).map_err(Error::from);
    let uploads = uploads.try_filter(|upload| std::future::ready(is_ours(&upload.path)));
    probes.chain(uploads.map_ok(Leftover::Upload)).boxed()
}

/// Removes what [`leftovers`] gave; done too where it is gone already.
///
/// # Errors
/// [`Error::Delete`], [`Error::Uploads`].
pub async fn remove(store: &Arc<dyn ObjectStore>, unfinished: &Unfinished, leftover: &Leftover) -> Result<(), Error> {
    match leftover {
        Leftover::Upload(upload) => Ok(unfinished.abort(upload).await?),
        Leftover::Probe { path, .. } => {
            let one = futures::stream::iter([Ok(path.clone())]).boxed();
            let deleted: Result<Vec<_>, _> = store.delete_stream(one).try_collect().await;
            match deleted {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(source) => Err(Error::Delete { prefix: path.clone(), source }),
            }
        }
    }
}

/// Whether a build of ours writes this name. A bucket can hold other people's uploads beside ours.
fn is_ours(path: &Path) -> bool {
    let parts: Vec<&str> = path.as_ref().split('/').collect();
    match parts[..] {
        [PROBES, _, ..] => true,
        ["sources", source, ..] => {
            source.parse::<SourceId>().is_ok_and(|source| Kind::of(&source, path) != Kind::Foreign)
        }
        ["config", _, _, number] | ["gen", number] => layout::digits(number, 20).is_some(),
        _ => *path == layout::repository(),
    }
}

impl From<unfinished::Error> for Error {
    fn from(source: unfinished::Error) -> Self {
        Self::Uploads(Box::new(source))
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use tidemark_gateway::{Env, open};

    use super::*;
    use crate::{ids::VersionNumber, testing::token};

    fn opened(directory: &std::path::Path) -> open::Opened {
        let url = format!("file://{}", directory.display()).parse().unwrap();
        open::opened(&url, None, &open::OpenOptions::default(), &Env::system()).unwrap()
    }

    async fn found(opened: &open::Opened) -> Vec<(String, Option<u64>)> {
        let all: Vec<_> = leftovers(&opened.objects, &opened.unfinished).try_collect().await.unwrap();
        let mut names: Vec<_> = all.iter().map(|left| (left.path().to_string(), left.bytes())).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn uploads_to_our_names_and_probes_are_found_and_removed_and_nothing_else_is_touched() {
        let directory = tempfile::tempdir().unwrap();
        let opened = opened(directory.path());
        let source: SourceId = "s".parse().unwrap();
        let manifest = layout::manifest(&source, &"d".parse().unwrap(), VersionNumber(1));
        let ours = [
            layout::segment(&source, token(7), 1),
            layout::generation(3),
            layout::config("policies", "p", 1),
            layout::repository(),
            manifest.clone(),
        ];
        let theirs = ["mine/backup.tar", "gen/1", "sources/s/pages/readme", "tidemark.json.bak", "sources/S!/pages/x"];
        for name in ours.iter().map(Path::as_ref).chain(theirs) {
            let file = directory.path().join(format!("{name}#1"));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "half").unwrap();
        }
        for object in [&Path::from(".tidemark-probe/a/clock"), &manifest] {
            opened.objects.put(object, "an object".into()).await.unwrap();
        }
        let mut expected: Vec<_> = ours.iter().map(|path| (path.to_string(), Some(4))).collect();
        expected.push((".tidemark-probe/a/clock".to_owned(), Some(9)));
        expected.sort();
        assert_eq!(found(&opened).await, expected);
        let all: Vec<_> = leftovers(&opened.objects, &opened.unfinished).try_collect().await.unwrap();
        for left in all.iter().chain(&all) {
            remove(&opened.objects, &opened.unfinished, left).await.unwrap();
        }
        assert_eq!(found(&opened).await, []);
        assert!(opened.objects.head(&manifest).await.is_ok());
        for name in theirs {
            assert!(directory.path().join(format!("{name}#1")).exists(), "{name}");
        }
    }
}
