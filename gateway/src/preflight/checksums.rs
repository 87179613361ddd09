//! Whether a store verifies checksums, so that its word may stand for reading back.
//!
//! Bytes other than those that were hashed must be refused, as a whole object and as a part; and the checksum that the
//! store tells of an upload in parts must be the one that follows from the parts.

use std::{sync::Arc, time::Duration};

use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt, path::Path};

use super::{LIMIT, Line, Outcome, ROOT};
use crate::{
    Env,
    checksums::{Composite, Told},
    credentials::Credentials,
    open::{self, Checksums, OpenOptions},
    retry::{Retry, is_transient},
    store_url::StoreUrl,
};

/// The property's name in a report.
const NAME: &str = "checksums";

/// Tries the store at `url`; `None` for stores that do not lie behind S3, whose uploads are read back.
///
/// The line passes where the store may be opened with [`Checksums::Told`]. Probe objects are removed as far as the store lets.
///
/// # Errors
/// As [`open::open`].
pub async fn run(url: &StoreUrl, credentials: Option<&Credentials>, env: &Env) -> Result<Option<Line>, open::Error> {
    if !matches!(url, StoreUrl::S3(_)) {
        return Ok(None);
    }
    let open = |checksums| open::open(url, credentials, &options(checksums), env);
    let probe = Probe { tampered: open(Checksums::Tampered)?, told: open(Checksums::Told)?, root: root(env) };
    let seen = tokio::time::timeout(LIMIT, probe.run()).await.unwrap_or_else(|_| Err("no answer".to_owned()));
    Ok(Some(match seen {
        Ok(()) => line(Outcome::Passed, "other bytes than those hashed are refused, whole and in parts"),
        Err(seen) => line(Outcome::Warned, &format!("{seen}: large uploads are read back")),
    }))
}

fn root(env: &Env) -> Path {
    Path::from(format!("{ROOT}/{}", hex::encode(env.random::<16>())))
}

/// A refusal is an answer here: nothing is tried again.
fn options(checksums: Checksums) -> OpenOptions {
    let retry = Retry { budget: Duration::ZERO, ..Retry::default() };
    OpenOptions { retry, checksums, ..OpenOptions::default() }
}

fn line(outcome: Outcome, detail: &str) -> Line {
    Line { name: NAME, outcome, detail: detail.to_owned() }
}

/// The same store through a client that tampers and through one that asks.
struct Probe {
    tampered: Arc<dyn ObjectStore>,
    told: Arc<dyn ObjectStore>,
    root: Path,
}

impl Probe {
    /// # Errors
    /// What is not as it must be.
    async fn run(&self) -> Result<(), String> {
        self.refuses_a_whole().await?;
        self.refuses_a_part().await?;
        self.tells_the_composite().await
    }

    async fn refuses_a_whole(&self) -> Result<(), String> {
        let path = self.path("whole");
        let answer = self.tampered.put(&path, body(1000).into()).await.map(drop);
        let refused = refused("an object", &answer);
        // It is there where it should not be; what is left is harmless.
        if answer.is_ok() {
            let _ = self.told.delete(&path).await;
        }
        refused
    }

    async fn refuses_a_part(&self) -> Result<(), String> {
        let started = self.tampered.put_multipart(&self.path("part")).await;
        let mut upload = started.map_err(|error| format!("an upload in parts cannot be started ({error})"))?;
        let answer = upload.put_part(body(1000).into()).await;
        let _ = upload.abort().await;
        refused("a part", &answer)
    }

    async fn tells_the_composite(&self) -> Result<(), String> {
        let path = self.path("composite");
        let uploaded = self.upload(&path).await;
        let head = self.told.get_opts(&path, GetOptions { head: true, ..GetOptions::default() }).await;
        let _ = self.told.delete(&path).await;
        let expected = uploaded.map_err(|error| format!("an upload in parts fails ({error})"))?;
        let told = head.map_err(|error| format!("no answer about an upload in parts ({error})"))?;
        match told.extensions.get::<Told>() {
            Some(told) if *told == expected => Ok(()),
            Some(Told(told)) => Err(format!("the checksum of an upload in parts is told as {told}")),
            None => Err("the checksum of an upload in parts is not told".to_owned()),
        }
    }

    async fn upload(&self, path: &Path) -> object_store::Result<Told> {
        let mut composite = Composite::new();
        let mut upload = self.told.put_multipart(path).await?;
        for part in [body(5 << 20), body(1000)] {
            composite.add(&part);
            upload.put_part(part.into()).await?;
        }
        upload.complete().await?;
        Ok(composite.told())
    }

    fn path(&self, leaf: &str) -> Path {
        Path::from(format!("{}/{leaf}", self.root))
    }
}

/// A failure that may pass by itself is no refusal.
fn refused(what: &str, answer: &Result<(), Error>) -> Result<(), String> {
    match answer {
        Err(error) if !is_transient(error) => Ok(()),
        Err(error) => Err(format!("whether {what} with another checksum is refused is not known ({error})")),
        Ok(()) => Err(format!("{what} with another checksum is taken")),
    }
}

/// Bytes of which none is zero.
fn body(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 255) as u8 + 1).collect()
}
