//! Records and objects that could not be written: the first of them named, and nothing else stopped by them.
//!
//! A refusal is an answer about one record: there is no form in which it could be sent, or the destination does not take its
//! values. A destination that is away, busy, or lets nobody write refuses no record: that is an error of the whole restore.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tidemark_catalog::ids::ObjectName;
use tidemark_listener_core::{
    failure::Failure,
    restorer::{REFUSED_NAMED, Refused},
};

/// Longest reason that is kept, characters.
const REASON: usize = 500;

/// The refusals of one restore, shared by the pieces in work.
#[derive(Debug, Default)]
pub struct Refusals {
    strict: bool,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    named: Vec<Refused>,
    by_destination: bool,
    first: Option<Failure>,
}

impl Refusals {
    /// Those of a run before this one; `by_destination` where the destination refused a record then.
    pub fn new(strict: bool, named: Vec<Refused>, by_destination: bool) -> Self {
        Self { strict, kept: Mutex::new(Kept { named, by_destination, first: None }) }
    }

    /// True where the first refusal is to end the restore.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// Keeps a refusal of a record (its key in words) or of a whole object. One that is known is kept once, because a piece is
    /// done again after a failure or a restart.
    ///
    /// # Errors
    /// `error` itself where the first refusal is to end the restore.
    pub fn add(&self, object: &ObjectName, key: Option<String>, error: Failure) -> Result<(), Failure> {
        if self.strict {
            return Err(error);
        }
        let reason = error.message.chars().take(REASON).collect();
        let refused = Refused { object: object.clone(), key, code: error.code.to_string(), reason };
        let mut kept = self.kept();
        let known = kept.named.iter().any(|r| (&r.object, &r.key) == (&refused.object, &refused.key));
        if !known && kept.named.len() < REFUSED_NAMED {
            kept.named.push(refused);
        }
        kept.first.get_or_insert(error);
        Ok(())
    }

    /// Notes that the destination refused a record: one may be missing there although it could be expressed.
    pub fn note_destination(&self) {
        self.kept().by_destination = true;
    }

    /// True where the destination refused a record.
    pub fn by_destination(&self) -> bool {
        self.kept().by_destination
    }

    /// The first refusals, at most [`REFUSED_NAMED`].
    pub fn named(&self) -> Vec<Refused> {
        self.kept().named.clone()
    }

    /// The error where nothing at all could be written: that of the first refusal.
    pub fn nothing_written(&self) -> Failure {
        let kept = self.kept();
        let first = kept.first.as_ref();
        let reason = first.map(|e| e.message.clone()).or_else(|| kept.named.first().map(|r| r.reason.clone()));
        let message = format!("nothing could be written: {}", reason.unwrap_or_default());
        let error = Failure::new(first.map_or("TM-REST-0404".into(), |e| e.code.clone()), message);
        Failure { hint: first.and_then(|e| e.hint.clone()), ..error }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(refusals: &Refusals, n: usize) -> Result<(), Failure> {
        refusals.add(
            &"ks/t".parse().unwrap(),
            Some(format!("row {n}")),
            Failure::new("TM-REST-0302", format!("row {n}: no form")),
        )
    }

    #[test]
    fn the_first_are_named_once_each() {
        let refusals = Refusals::default();
        (0..2 * REFUSED_NAMED).chain(0..3).for_each(|n| add(&refusals, n).unwrap());
        let named = refusals.named();
        assert_eq!(named.len(), REFUSED_NAMED);
        assert_eq!((named[0].key.as_deref(), named[0].object.to_string()), (Some("row 0"), "ks/t".to_owned()));
        let nothing = refusals.nothing_written();
        assert_eq!((nothing.code.as_ref(), nothing.message.contains("row 0: no form")), ("TM-REST-0302", true));
    }

    #[test]
    fn strict_ends_at_the_first() {
        let refusals = Refusals::new(true, Vec::new(), false);
        assert_eq!(add(&refusals, 1).unwrap_err().code, "TM-REST-0302");
        assert!(refusals.named().is_empty());
    }
}
