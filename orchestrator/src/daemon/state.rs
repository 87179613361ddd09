//! The state that a daemon works on: its own directory, or the etcd of a cluster.
//!
//! A daemon of a cluster keeps in its state directory how far it saw the cluster's state (`cluster.json`): one that is older when it is
//! opened again was rolled back, although no other daemon may be left to tell.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use tidemark_gateway::{Env, causes};
use tokio_util::sync::CancellationToken;

use super::{Config, Error};
use crate::coordinator::{
    Coordinator,
    embedded::{Embedded, lock::StateLock},
    etcd::{Etcd, Witness},
};

/// Name of the file in the state directory.
const FILE: &str = "cluster.json";

/// The state of a daemon.
pub(super) struct State {
    pub(super) coordinator: Arc<dyn Coordinator>,
    /// Cancelled once the state has to be opened anew.
    pub(super) ended: CancellationToken,
    shared: Option<Shared>,
}

/// What a daemon of a cluster has of its own.
struct Shared {
    etcd: Etcd,
    file: PathBuf,
    _lock: StateLock,
}

impl State {
    pub(super) async fn open(config: &Config, env: &Env) -> Result<Self, Error> {
        let Some(etcd) = &config.etcd else {
            let coordinator = Arc::new(Embedded::open(&config.state, env.clone())?);
            return Ok(Self { coordinator, ended: CancellationToken::new(), shared: None });
        };
        let (lock, file) = (StateLock::acquire(&config.state)?, config.state.join(FILE));
        let witnesses: Vec<Witness> = remembered(&file).into_iter().collect();
        let etcd = Etcd::open(etcd, &witnesses, env.clone()).await?;
        let state = Self {
            coordinator: Arc::new(etcd.clone()),
            ended: etcd.ended(),
            shared: Some(Shared { etcd, file, _lock: lock }),
        };
        state.remember();
        Ok(state)
    }

    /// Writes down how far the state was seen.
    pub(super) fn remember(&self) {
        let Some(Shared { etcd, file, .. }) = &self.shared else { return };
        if let Err(error) = write(file, &etcd.witness()) {
            tracing::warn!(path = %file.display(), %error, "how far the cluster's state was seen is not written down");
        }
    }
}

/// What the file says; nothing where it cannot be read: stores know too.
fn remembered(file: &Path) -> Option<Witness> {
    match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .inspect_err(|error| tracing::warn!(path = %file.display(), error = causes::joined(error), "passed over"))
            .ok(),
        Err(_) => None,
    }
}

fn write(file: &Path, witness: &Witness) -> io::Result<()> {
    let next = file.with_extension("json.next");
    let mut written = fs::File::create(&next)?;
    written.write_all(&serde_json::to_vec(witness)?)?;
    written.sync_all()?;
    fs::rename(next, file)
}
