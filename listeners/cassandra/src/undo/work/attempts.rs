//! Numbers of attempts at lists: each is stored before it is used, and nothing is sent twice under one of them.

use tidemark_listener_core::driver::Error;
use tokio::sync::Mutex;

use crate::undo::keep::Keeper;

/// The number under which lists are sent first.
#[derive(Default)]
pub(in crate::undo) struct Attempts(Mutex<Option<u32>>);

impl Attempts {
    /// The number that all units share until one of them fails.
    ///
    /// # Errors
    /// As it cannot be saved.
    pub(super) async fn current(&self, keeper: &Keeper) -> Result<u32, Error> {
        let mut current = self.0.lock().await;
        if let Some(number) = *current {
            return Ok(number);
        }
        let number = another(keeper).await?;
        *current = Some(number);
        Ok(number)
    }

    /// From now on there is another one: lists may have been sent under the last.
    pub(super) async fn renew(&self) {
        *self.0.lock().await = None;
    }
}

/// A number that was never used.
///
/// # Errors
/// As it cannot be saved.
pub(super) async fn another(keeper: &Keeper) -> Result<u32, Error> {
    let number = {
        let mut state = keeper.state();
        state.attempts += 1;
        state.attempts - 1
    };
    keeper.save().await?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::undo::state::State;

    #[tokio::test]
    async fn a_unit_that_is_tried_again_sends_its_lists_under_another_number() {
        let (attempts, keeper) = (Attempts::default(), Keeper::counting(State::start(5)));
        let first = attempts.current(&keeper).await.unwrap();
        assert_eq!(attempts.current(&keeper).await.unwrap(), first);
        attempts.renew().await;
        let second = attempts.current(&keeper).await.unwrap();
        let third = another(&keeper).await.unwrap();
        assert!(first < second && second < third);
        assert_eq!(keeper.into_state().attempts, 3);
    }
}
