//! Real object stores on loopback: two good ones and one that must be refused.
//!
//! `install/stores.sh` installs them on demand into the user's cache; a second run of it takes no time. Each server is a
//! process of its own on a port that the test names, keeps its data in a temporary directory, and is killed by its id when
//! its [`StoreServer`] is dropped.

mod process;
mod servers;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use object_store::ObjectStore;
use tempfile::TempDir;
use tidemark_gateway::{
    Env,
    credentials::Credentials,
    open::{self, OpenOptions},
    store_url::StoreUrl,
};

use process::Process;

use crate::paths;

pub use servers::{moto, s3mock, versitygw};

/// The bucket that every server is started with.
pub const BUCKET: &str = "tidemark";

/// A running object store.
#[derive(Debug)]
pub struct StoreServer {
    // Dropped in this order: the process ends before its directory goes.
    process: Process,
    directory: TempDir,
    port: u16,
}

impl StoreServer {
    /// URL of the bucket, or of a prefix in it.
    ///
    /// # Panics
    /// Where `prefix` is not one.
    pub fn url(&self, prefix: &str) -> StoreUrl {
        let url = format!("s3://{BUCKET}/{prefix}?endpoint=http://127.0.0.1:{}&region=us-east-1", self.port);
        url.parse().expect("bucket, port and region are fixed")
    }

    /// The key that may do anything.
    pub fn credentials(&self) -> Credentials {
        Credentials::new(servers::ACCESS_KEY, servers::SECRET_KEY)
    }

    /// The bucket, or a prefix in it, as the system under test opens it.
    ///
    /// # Errors
    /// As [`open::open`].
    pub fn open(&self, prefix: &str, options: &OpenOptions) -> Result<Arc<dyn ObjectStore>> {
        Ok(open::open(&self.url(prefix), Some(&self.credentials()), options, &Env::system())?)
    }

    /// Id of the process, for tests that stop or kill it.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where the server keeps its data.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// Installs what is missing and gives the directory of the tools.
///
/// # Errors
/// With the output of the installer.
pub fn install() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("install/stores.sh");
    let run = Command::new(&script).output().with_context(|| format!("run {}", script.display()))?;
    let said = [run.stdout, run.stderr].concat();
    ensure!(run.status.success(), "{} failed: {}", script.display(), String::from_utf8_lossy(&said));
    Ok(paths::tools())
}
