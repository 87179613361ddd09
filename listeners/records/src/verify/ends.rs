//! The first and the last key of a segment.

use tidemark_catalog::keys::Key;

use super::Refused;

/// Sees the keys of a segment one after the other: that they ascend, and which are the first and the last.
///
/// `K` is a key as the source has it; its order must be that of the bytes of the [`Key`] that it becomes.
#[derive(Debug)]
pub struct Ends<K = Key>(Option<(K, K)>);

impl<K> Default for Ends<K> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: Ord + Clone + Into<Key>> Ends<K> {
    /// Sees the next key.
    ///
    /// # Errors
    /// [`Refused::Wrong`] where it is not behind the one before it.
    pub fn see(&mut self, key: K) -> Result<(), Refused> {
        let first = match self.0.take() {
            Some((_, last)) if last >= key => {
                return Err(Refused::Wrong(format!("key {} is out of order", key.into().text)));
            }
            Some((first, _)) => first,
            None => key.clone(),
        };
        self.0 = Some((first, key));
        Ok(())
    }

    /// The first and the last key; `None` where there was none.
    pub fn keys(self) -> Option<(Key, Key)> {
        self.0.map(|(first, last)| (first.into(), last.into()))
    }
}
