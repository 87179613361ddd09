//! Real object stores on loopback: two good ones and one that must be refused.
//!
//! `install/stores.sh` installs them on demand into the user's cache; a second run of it takes no time. Each server is a
//! process of its own on a port that the test names, keeps its data in a temporary directory, and is killed by its id when
//! its [`StoreServer`] is dropped.

pub mod log;
mod process;
mod servers;
pub mod users;

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

/// The region that every server believes in.
const REGION: &str = "us-east-1";

/// A running object store.
#[derive(Debug)]
pub struct StoreServer {
    // Dropped in this order: the process ends before its directory goes.
    process: Process,
    directory: TempDir,
    port: u16,
}

impl StoreServer {
    /// URL of the server.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// URL of the bucket, or of a prefix in it.
    ///
    /// # Panics
    /// Where `prefix` is not one.
    pub fn url(&self, prefix: &str) -> StoreUrl {
        let url = format!("s3://{BUCKET}/{prefix}?endpoint={}&region={REGION}", self.endpoint());
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

    /// Kills the server at once, as a crash would; what it keeps on disk stays.
    ///
    /// # Errors
    /// Where it cannot be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it again on the same port and the same data.
    ///
    /// # Errors
    /// Where it does not come up.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.restart().await
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
