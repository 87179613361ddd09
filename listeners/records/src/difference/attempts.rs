//! Numbers of attempts at what must not be sent twice (for Cassandra: lists): each is stored before it is used, and nothing is
//! sent twice under one of them.

use tidemark_listener_core::failure::Failure;
use tokio::sync::Mutex;

use crate::difference::{keep::Keeper, state::Place};

/// The number under which all units send first.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<Option<u32>>);

impl Attempts {
    /// The number that all units share until one of them fails.
    ///
    /// # Errors
    /// As it cannot be saved.
    pub async fn current<P: Place>(&self, keeper: &Keeper<P>) -> Result<u32, Failure> {
        let mut current = self.0.lock().await;
        if let Some(number) = *current {
            return Ok(number);
        }
        let number = another(keeper).await?;
        *current = Some(number);
        Ok(number)
    }

    /// From now on there is another one: something may have been sent under the last.
    pub async fn renew(&self) {
        *self.0.lock().await = None;
    }
}

/// A number that was never used.
///
/// # Errors
/// As it cannot be saved.
pub async fn another<P: Place>(keeper: &Keeper<P>) -> Result<u32, Failure> {
    let number = {
        let mut state = keeper.state();
        state.attempts += 1;
        state.attempts - 1
    };
    keeper.note().await?;
    Ok(number)
}
