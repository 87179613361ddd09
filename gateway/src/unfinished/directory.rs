//! Files under temporary names in the directory of a local store.

use std::{
    collections::VecDeque,
    fs::{self, DirEntry, Metadata},
    io::ErrorKind,
    path::{self, PathBuf},
};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use object_store::path::Path;

use super::{Error, Upload};

/// A local store's directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    root: PathBuf,
}

impl Directory {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// One directory at a time is read.
    pub(super) fn list(self, prefix: Option<&Path>) -> BoxStream<'static, Result<Upload, Error>> {
        let first = prefix.map_or_else(|| self.root.clone(), |prefix| self.root.join(prefix.as_ref()));
        let walk = stream::try_unfold((self, VecDeque::from([first])), async |(this, mut left)| {
            let Some(directory) = left.pop_front() else { return Ok(None) };
            let (read, this) = blocking(move || (this.read(&directory), this)).await;
            let (uploads, below) = read?;
            left.extend(below);
            Ok(Some((stream::iter(uploads.into_iter().map(Ok)), (this, left))))
        });
        futures::TryStreamExt::try_flatten(walk).boxed()
    }

    /// Unfinished uploads in `directory`, and the directories in it.
    fn read(&self, directory: &path::Path) -> Result<(Vec<Upload>, Vec<PathBuf>), Error> {
        let (mut uploads, mut below) = (Vec::new(), Vec::new());
        let failed = |source| Error::File { operation: "list", path: directory.to_owned(), source };
        let entries = match fs::read_dir(directory) {
            // Removed meanwhile, or never there; but the store itself has to be.
            Err(error) if error.kind() == ErrorKind::NotFound && self.root.is_dir() => return Ok((uploads, below)),
            other => other.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => below.push(entry.path()),
                Ok(metadata) => uploads.extend(self.upload(&entry, &metadata)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok((uploads, below))
    }

    /// The upload that a file is of; none where the file is an object, or nothing of ours.
    fn upload(&self, entry: &DirEntry, metadata: &Metadata) -> Option<Upload> {
        let file = entry.path();
        let (name, id) = file.strip_prefix(&self.root).ok()?.to_str()?.rsplit_once('#')?;
        // As the library tells them apart: a name with two of these signs is an object's.
        let temporary = is_number(id) && !name.rsplit('/').next()?.contains('#');
        let path = Path::parse(name).ok().filter(|_| temporary)?;
        // When it was last written to, where the file system does not know when it was made.
        let begun = metadata.created().or_else(|_| metadata.modified()).ok()?;
        let begun = Timestamp::try_from(begun).ok()?;
        Some(Upload { path, id: id.to_owned(), begun, bytes: Some(metadata.len()) })
    }

    pub(super) async fn abort(&self, upload: &Upload) -> Result<(), Error> {
        if !is_number(&upload.id) {
            return Ok(());
        }
        let path = self.root.join(format!("{}#{}", upload.path, upload.id));
        let removed = blocking(move || (fs::remove_file(&path), path)).await;
        match removed {
            (Err(source), path) if source.kind() != ErrorKind::NotFound => {
                Err(Error::File { operation: "remove", path, source })
            }
            _ => Ok(()),
        }
    }
}

fn is_number(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::TryStreamExt;
    use object_store::{ObjectStore, ObjectStoreExt};

    use super::*;
    use crate::{Env, open};

    fn opened(directory: &path::Path) -> open::Opened {
        let url = format!("file://{}", directory.display()).parse().unwrap();
        open::opened(&url, None, &open::OpenOptions::default(), &Env::system()).unwrap()
    }

    async fn listed(opened: &open::Opened, prefix: &str) -> Vec<(String, String)> {
        let prefix = (!prefix.is_empty()).then(|| Path::from(prefix));
        let uploads: Vec<_> = opened.unfinished.list(prefix.as_ref()).try_collect().await.unwrap();
        let mut names: Vec<_> = uploads.into_iter().map(|upload| (upload.path.to_string(), upload.id)).collect();
        names.sort();
        names
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(path, id)| ((*path).to_owned(), (*id).to_owned())).collect()
    }

    #[tokio::test]
    async fn uploads_under_way_are_listed_below_their_prefix_and_objects_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let opened = opened(directory.path());
        let store: &Arc<dyn ObjectStore> = &opened.objects;
        store.put(&"a/done".into(), "x".into()).await.unwrap();
        let before = Env::system().now();
        let _first = store.put_multipart(&"a/b/c".into()).await.unwrap();
        let _second = store.put_multipart(&"a/b/c".into()).await.unwrap();
        let _third = store.put_multipart(&"d#".into()).await.unwrap();
        for name in ["a/name#1x", "a/name#1#2", "a/name#"] {
            std::fs::write(directory.path().join(name), "an object").unwrap();
        }
        let below = [("a/b/c", "1"), ("a/b/c", "2")];
        assert_eq!(listed(&opened, "a").await, pairs(&below));
        assert_eq!(listed(&opened, "").await, pairs(&[below[0], below[1], ("d%23", "1")]));
        assert_eq!(listed(&opened, "z").await, pairs(&[]));
        let uploads: Vec<_> = opened.unfinished.list(None).try_collect().await.unwrap();
        // Clocks of file systems may lag behind by a tick.
        let near = |at: Timestamp| at.duration_since(before).abs() < jiff::SignedDuration::from_secs(2);
        assert!(uploads.len() == 3 && uploads.iter().all(|upload| near(upload.begun)), "{uploads:?}");
    }

    #[tokio::test]
    async fn an_aborted_upload_is_gone_and_its_name_keeps_what_it_holds() {
        let directory = tempfile::tempdir().unwrap();
        let opened = opened(directory.path());
        let path = Path::from("a/b");
        opened.objects.put(&path, "x".into()).await.unwrap();
        std::fs::write(directory.path().join("a/b#7"), "left by a crash").unwrap();
        let uploads: Vec<_> = opened.unfinished.list(None).try_collect().await.unwrap();
        for _ in 0..2 {
            opened.unfinished.abort(&uploads[0]).await.unwrap();
        }
        assert_eq!((uploads.len(), listed(&opened, "").await), (1, pairs(&[])));
        assert_eq!(opened.objects.get(&path).await.unwrap().bytes().await.unwrap(), "x");
        let upload = Upload { id: "../a/b".to_owned(), ..uploads[0].clone() };
        opened.unfinished.abort(&upload).await.unwrap();
        assert!(opened.objects.head(&path).await.is_ok());
    }

    #[tokio::test]
    async fn a_store_whose_directory_is_gone_has_no_list() {
        let directory = tempfile::tempdir().unwrap();
        let opened = opened(directory.path());
        drop(directory);
        let error = opened.unfinished.list(None).try_collect::<Vec<_>>().await.unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error}");
    }
}
