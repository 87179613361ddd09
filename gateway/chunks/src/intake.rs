//! Writing chunks: into packs, one after another, each chunk once.

use std::{collections::HashMap, error::Error as StdError, fmt, sync::Arc};

use async_trait::async_trait;
use object_store::{ObjectStore, path::Path};
use tidemark_gateway::Env;
use tokio::task::{JoinError, JoinSet};

use crate::{
    ChunkId, Class,
    header::Kind,
    keys::{self, Issued, RepositoryKey},
    pack::{Entry, Pack, PackOptions, PackWriter, WriteError},
    prepare::Prepared,
    reuse::Reference,
};

/// Packs whose ends are under way while the next is written.
const ENDING: usize = 1;

/// Where new names and data keys of packs come from: of the holder of the repository key, or by a message from it.
#[async_trait]
pub trait PackSupply: Send {
    /// A name that was never used, with a new data key.
    ///
    /// # Errors
    /// Whatever keeps it from giving one.
    async fn next(&mut self) -> Result<Issued, SupplyError>;
}

/// Why there is no further pack.
pub type SupplyError = Box<dyn StdError + Send + Sync>;

/// The supply of who holds the repository key.
pub struct OwnSupply<N> {
    key: RepositoryKey,
    env: Env,
    names: N,
}

impl<N: FnMut() -> Path + Send> OwnSupply<N> {
    /// With these names, of which none may come twice in the life of the repository.
    pub fn new(key: RepositoryKey, env: Env, names: N) -> Self {
        Self { key, env, names }
    }
}

#[async_trait]
impl<N: FnMut() -> Path + Send> PackSupply for OwnSupply<N> {
    async fn next(&mut self) -> Result<Issued, SupplyError> {
        let path = (self.names)();
        self.key.issue(&self.env, Kind::Pack, path).map_err(|error: keys::Error| error.into())
    }
}

/// Why a chunk was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no further pack.
    #[error("get a name and a key for a pack")]
    Supply(#[source] SupplyError),
    /// The pack was not written.
    #[error("write chunks")]
    Write(#[from] WriteError),
    /// The pack's end was not waited for.
    #[error("the end of a pack was cut off")]
    Task(#[from] JoinError),
    /// An earlier call failed, or was dropped half way: a pack that references name may never be.
    #[error("an earlier chunk was not written")]
    Broken,
}

/// Writes chunks. Memory: that of two packs under way ([`PackWriter`]), and some 200 bytes for each chunk of packs that were not
/// [taken](Intake::take_finished) yet. Dropped, it leaves the packs that are finished, and they are garbage unless they were taken.
pub struct Intake<S> {
    store: Arc<dyn ObjectStore>,
    env: Env,
    options: PackOptions,
    supply: S,
    current: Option<(Arc<Path>, PackWriter)>,
    ending: JoinSet<Result<Pack, WriteError>>,
    finished: Vec<Pack>,
    /// No call failed, and none is under way or was dropped.
    sound: bool,
    /// Chunks of packs that were not taken yet.
    own: HashMap<(Class, ChunkId), Reference>,
}

impl<S: PackSupply> Intake<S> {
    /// Into `store`, by names of the supply.
    pub fn new(store: Arc<dyn ObjectStore>, env: Env, supply: S, options: PackOptions) -> Self {
        let (ending, own) = (JoinSet::new(), HashMap::new());
        Self { store, env, options, supply, current: None, ending, finished: Vec::new(), sound: true, own }
    }

    /// The reference to a chunk that was written here, into a pack that was not taken yet.
    pub fn written(&self, class: Class, id: ChunkId) -> Option<&Reference> {
        self.own.get(&(class, id)).filter(|_| self.sound)
    }

    /// Writes the chunk, unless that was done here. The reference counts once its pack was [taken](Intake::take_finished) and
    /// listed by the caller.
    ///
    /// # Errors
    /// [`Error`]. After one, or a call that was dropped, nothing more can be written here: [`Error::Broken`].
    pub async fn write(&mut self, chunk: &Prepared) -> Result<Reference, Error> {
        self.enter()?;
        let reference = self.write_once(chunk).await?;
        self.sound = true;
        Ok(reference)
    }

    /// Whoever enters leaves it unsound until done.
    fn enter(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.sound, false) { Ok(()) } else { Err(Error::Broken) }
    }

    async fn write_once(&mut self, chunk: &Prepared) -> Result<Reference, Error> {
        if let Some(reference) = self.own.get(&(chunk.class(), chunk.id())) {
            return Ok(reference.clone());
        }
        let (pack, entry) = self.append(chunk).await?;
        let reference = Reference::written(pack, &entry);
        self.own.insert((chunk.class(), chunk.id()), reference.clone());
        self.reap()?;
        Ok(reference)
    }

    async fn append(&mut self, chunk: &Prepared) -> Result<(Arc<Path>, Entry), Error> {
        let (pack, mut writer) = match self.current.take() {
            Some(current) => current,
            None => self.begin().await?,
        };
        let entry = writer.append(chunk).await?;
        if writer.is_full() {
            self.end(writer).await?;
        } else {
            self.current = Some((Arc::clone(&pack), writer));
        }
        Ok((pack, entry))
    }

    async fn begin(&mut self) -> Result<(Arc<Path>, PackWriter), Error> {
        let issued = self.supply.next().await.map_err(Error::Supply)?;
        let pack = Arc::new(issued.path().clone());
        Ok((pack, PackWriter::start(&self.store, &self.env, issued, &self.options)?))
    }

    async fn end(&mut self, writer: PackWriter) -> Result<(), Error> {
        while self.ending.len() >= ENDING {
            self.join().await?;
        }
        self.ending.spawn(writer.finish());
        Ok(())
    }

    async fn join(&mut self) -> Result<(), Error> {
        if let Some(ended) = self.ending.join_next().await {
            self.finished.push(ended??);
        }
        Ok(())
    }

    fn reap(&mut self) -> Result<(), Error> {
        while let Some(ended) = self.ending.try_join_next() {
            self.finished.push(ended??);
        }
        Ok(())
    }

    /// The packs that were finished since they were last taken. The caller lists them in its checkpoint, then admits and
    /// records them, so that chunks that come again are found there.
    pub fn take_finished(&mut self) -> Vec<Pack> {
        let taken = std::mem::take(&mut self.finished);
        for pack in &taken {
            for entry in &pack.entries {
                self.own.remove(&(entry.class, entry.id));
            }
        }
        taken
    }

    /// Finishes the pack under way, however small, and takes all.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn settle(&mut self) -> Result<Vec<Pack>, Error> {
        self.enter()?;
        if let Some((_, writer)) = self.current.take() {
            self.end(writer).await?;
        }
        while !self.ending.is_empty() {
            self.join().await?;
        }
        self.sound = true;
        Ok(self.take_finished())
    }

    /// As [`Intake::settle`], at the end.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn finish(mut self) -> Result<Vec<Pack>, Error> {
        self.settle().await
    }
}

impl<S> fmt::Debug for Intake<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Intake({:?}, {} finished)", self.current, self.finished.len())
    }
}

impl<N> fmt::Debug for OwnSupply<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnSupply({:?})", self.key)
    }
}

#[cfg(test)]
mod tests;
