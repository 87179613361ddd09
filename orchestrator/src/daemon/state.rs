//! The state that a daemon works on: its own directory, or the etcd of a cluster.
//!
//! A daemon of a cluster keeps in its state directory how far it saw the cluster's state (`cluster.json`): one that is older when it is
//! opened again was rolled back, although no other daemon may be left to tell.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tidemark_gateway::{Env, causes};
use tokio_util::sync::CancellationToken;

use super::{Config, Error};
use crate::{
    carried,
    coordinator::{
        Coordinator,
        embedded::{self, Embedded, lock::StateLock},
        etcd::{Etcd, Witness},
    },
    state_file,
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
        write_down_alone(&config.state, env).await?;
        let (lock, file) = (StateLock::acquire(&config.state)?, config.state.join(FILE));
        let witnesses: Vec<Witness> = remembered(&file).into_iter().collect();
        let etcd = Etcd::open(etcd, &witnesses, env.clone()).await?;
        put_aside(&config.state, env)
            .map_err(|source| embedded::OpenError::Directory { path: config.state.clone(), source })?;
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
        if let Err(error) = state_file::write(file, &etcd.witness()) {
            tracing::warn!(path = %file.display(), %error, "how far the cluster's state was seen is not written down");
        }
    }
}

/// What the file says; nothing where it cannot be read: stores know too.
fn remembered(file: &Path) -> Option<Witness> {
    state_file::read(file)
        .inspect_err(|error| tracing::warn!(path = %file.display(), error = causes::joined(error), "passed over"))
        .ok()
        .flatten()
}

/// Writes down what is registered in the state of a daemon by itself, where there is one: it comes along ([`carried`]).
async fn write_down_alone(directory: &Path, env: &Env) -> Result<(), Error> {
    if directory.join(embedded::FILE).exists() {
        let alone = Arc::new(Embedded::open(directory, env.clone())?);
        carried::write_down(alone, directory, env).await.map_err(Error::Carry)?;
    }
    Ok(())
}

/// Puts the state of a daemon by itself aside: it is one of a cluster now. By itself again it must not go on with what is long past.
fn put_aside(directory: &Path, env: &Env) -> io::Result<()> {
    match state_file::put_aside(&directory.join(embedded::FILE), env.now()) {
        Ok(aside) => {
            tracing::warn!(path = %aside.display(), "the state of this daemon by itself is put aside: it is one of a cluster now");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
