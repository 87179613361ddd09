//! Names of what is being changed: one change of a name at a time, so that the mirror in the store ends with what is registered.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The names; a cheap handle.
#[derive(Clone, Default)]
pub(super) struct Changing {
    names: Arc<Mutex<HashSet<String>>>,
}

/// A name that is being changed, until it is dropped.
#[derive(Debug)]
pub(super) struct Entered {
    names: Arc<Mutex<HashSet<String>>>,
    name: String,
}

fn lock(names: &Mutex<HashSet<String>>) -> MutexGuard<'_, HashSet<String>> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Changing {
    /// Takes the name; `None` where somebody has it.
    pub(super) fn enter(&self, name: &str) -> Option<Entered> {
        let taken = lock(&self.names).insert(name.to_owned());
        taken.then(|| Entered { names: Arc::clone(&self.names), name: name.to_owned() })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        lock(&self.names).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_changed_by_one_at_a_time() {
        let changing = Changing::default();
        let first = changing.enter("a").unwrap();
        assert!(changing.enter("a").is_none());
        changing.enter("b").unwrap();
        drop(first);
        changing.enter("a").unwrap();
    }
}
