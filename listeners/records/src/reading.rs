//! Reads a stream on a thread of its own, a little ahead of whoever works on it.
//!
//! The thread ends when it has read all, when it cannot read on, or at its next item once the receiver is gone.

use tidemark_listener_core::failure::Failure;
use tokio::{sync::mpsc, task::JoinHandle};

/// A thread that reads.
#[derive(Debug)]
pub struct Reader(JoinHandle<()>);

/// Runs `read` on a thread of its own; its items, in order, and at the end why it could not go on, if it could not. `ahead`
/// items wait at most. `read` hands an item to its argument, which answers false where nobody listens any more. It may block.
///
/// # Panics
/// Outside of a runtime.
pub fn start<T, R>(ahead: usize, read: R) -> (mpsc::Receiver<Result<T, Failure>>, Reader)
where
    T: Send + 'static,
    R: FnOnce(&mut dyn FnMut(T) -> bool) -> Result<(), Failure> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(ahead);
    let thread = tokio::task::spawn_blocking(move || {
        if let Err(error) = read(&mut |item| sender.blocking_send(Ok(item)).is_ok()) {
            // Nobody listens any more where the other side has failed or was cancelled: it says so itself.
            sender.blocking_send(Err(error)).ok();
        }
    });
    (receiver, Reader(thread))
}

impl Reader {
    /// Waits for the end of the thread. Drop the receiver first: the thread may wait for it.
    ///
    /// # Errors
    /// `TM-REST-0103` where the thread panicked.
    pub async fn ended(self) -> Result<(), Failure> {
        self.0.await.map_err(|error| Failure::new("TM-REST-0103", format!("the reading thread ended: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn items_come_in_order_and_the_failure_last() {
        let (mut items, reader) = start(1, |take: &mut dyn FnMut(u32) -> bool| {
            assert!((0..3).all(take));
            Err(Failure::new("TM-TEST-0001", "damaged"))
        });
        for n in 0..3 {
            assert_eq!(items.recv().await.unwrap().unwrap(), n);
        }
        assert_eq!(items.recv().await.unwrap().unwrap_err().code, "TM-TEST-0001");
        assert!(items.recv().await.is_none());
        reader.ended().await.unwrap();
    }

    #[tokio::test]
    async fn nobody_listening_ends_the_thread() {
        let (mut items, reader) = start(1, |take: &mut dyn FnMut(u32) -> bool| {
            assert!(!(0..).all(take), "an endless stream");
            Ok(())
        });
        assert_eq!(items.recv().await.unwrap().unwrap(), 0);
        drop(items);
        reader.ended().await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_of_the_thread_is_a_failure() {
        let (items, reader) = start(1, |_: &mut dyn FnMut(u32) -> bool| panic!("a test's"));
        drop(items);
        assert_eq!(reader.ended().await.unwrap_err().code, "TM-REST-0103");
    }
}
