//! Where an undo stands, and its saving: one save at a time, each of what stands then, so that no older state comes after a
//! newer one.
//!
//! Spans in work and whoever takes them in order wait for saves side by side; the saving runs beside them all.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tidemark_listener_core::driver::{CheckpointSaver, Error};
use tokio::sync::{mpsc, oneshot};

use crate::undo::state::State;

/// Saves that are waited for at a time, before others wait to ask.
const REQUESTS: usize = 64;

/// Who waits for a save.
type Waiting = oneshot::Sender<Result<(), Error>>;

/// Nobody saves any more.
pub(super) fn ended() -> Error {
    Error::new("TM-REST-0501", "the undo's place is not saved any more")
}

/// Where an undo, or its counting, stands.
pub(super) struct Keeper {
    state: Mutex<State>,
    /// Absent where nothing is written and nothing is saved.
    requests: Option<mpsc::Sender<Waiting>>,
}

/// What is asked of the saving.
pub(super) struct Requests(mpsc::Receiver<Waiting>);

impl Keeper {
    /// Keeps a state that is saved by [`Keeper::serve`].
    pub(super) fn saving(state: State) -> (Self, Requests) {
        let (sender, receiver) = mpsc::channel(REQUESTS);
        (Self { state: Mutex::new(state), requests: Some(sender) }, Requests(receiver))
    }

    /// Keeps a state that is not saved.
    pub(super) fn counting(state: State) -> Self {
        Self { state: Mutex::new(state), requests: None }
    }

    /// True where rows are written.
    pub(super) fn writes(&self) -> bool {
        self.requests.is_some()
    }

    /// The state, for a moment.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves what stands now or later; durable when it returns.
    ///
    /// # Errors
    /// The saver's.
    pub(super) async fn save(&self) -> Result<(), Error> {
        let Some(requests) = &self.requests else { return Ok(()) };
        let (waiting, answer) = oneshot::channel();
        requests.send(waiting).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Saves whenever it is asked to, for as long as it is polled.
    pub(super) async fn serve(&self, save: &dyn CheckpointSaver, mut requests: Requests) {
        while let Some(waiting) = requests.0.recv().await {
            let value = self.state().to_value();
            // Who asked may have been stopped meanwhile.
            waiting.send(save.save(value).await).ok();
        }
    }

    /// State at the end.
    pub(super) fn into_state(self) -> State {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
