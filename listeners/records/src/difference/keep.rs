//! Where an undo stands, and its saving: one save at a time, each of what stands then, so that no older state comes after a
//! newer one.
//!
//! Spans in work and whoever takes them in order wait for saves side by side; the saving runs beside them all.

use std::{
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tidemark_listener_core::{failure::Failure, restorer::CheckpointSaver};
use tokio::sync::{mpsc, oneshot};

use crate::difference::state::{Place, State};

/// Saves that are waited for at a time, before others wait to ask.
const REQUESTS: usize = 64;

/// Who waits for a save, and whether it is progress.
type Waiting = (bool, oneshot::Sender<Result<(), Failure>>);

/// Nobody saves any more.
fn ended() -> Failure {
    Failure::new("TM-REST-0501", "the undo's place is not saved any more")
}

/// Where an undo, or its counting, stands.
pub struct Keeper<P> {
    state: Mutex<State<P>>,
    /// Absent where nothing is written and nothing is saved.
    requests: Option<mpsc::Sender<Waiting>>,
}

/// What is asked of the saving.
#[derive(Debug)]
pub struct Requests(mpsc::Receiver<Waiting>);

impl<P: Place> Keeper<P> {
    /// Keeps a state that is saved by [`Keeper::serving`].
    pub fn saving(state: State<P>) -> (Self, Requests) {
        let (sender, receiver) = mpsc::channel(REQUESTS);
        (Self { state: Mutex::new(state), requests: Some(sender) }, Requests(receiver))
    }

    /// Keeps a state that is not saved.
    pub fn counting(state: State<P>) -> Self {
        Self { state: Mutex::new(state), requests: None }
    }

    /// True where records are written.
    pub fn writes(&self) -> bool {
        self.requests.is_some()
    }

    /// The state, for a moment: hold it across no await.
    pub fn state(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves what stands now or later; durable when it returns.
    ///
    /// # Errors
    /// The saver's; `TM-REST-0501` where nobody serves any more.
    pub async fn save(&self) -> Result<(), Failure> {
        self.ask(true).await
    }

    /// As [`save`](Self::save), of what is no progress.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn note(&self) -> Result<(), Failure> {
        self.ask(false).await
    }

    async fn ask(&self, progress: bool) -> Result<(), Failure> {
        let Some(requests) = &self.requests else { return Ok(()) };
        let (waiting, answer) = oneshot::channel();
        requests.send((progress, waiting)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Does the work, and meanwhile saves whenever it is asked to.
    ///
    /// # Errors
    /// That of the work.
    pub async fn serving<T>(
        &self,
        save: &dyn CheckpointSaver,
        requests: Requests,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            done = work => done,
            // It goes on for as long as the work may ask it.
            () = self.serve(save, requests) => Err(ended()),
        }
    }

    async fn serve(&self, save: &dyn CheckpointSaver, mut requests: Requests) {
        while let Some((progress, waiting)) = requests.0.recv().await {
            let value = self.state().to_value();
            let saved = if progress { save.save(value).await } else { save.note(value).await };
            // Who asked may have been stopped meanwhile.
            waiting.send(saved).ok();
        }
    }

    /// State at the end.
    pub fn into_state(self) -> State<P> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
