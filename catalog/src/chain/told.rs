//! Numbers of a set that were given, as something else than their manifests tells of: the states of versions, and the marks.
//!
//! States and marks know versions by their numbers. Where the newest manifests are lost, a number must not be given again: what is said
//! of it would be said of another version, which would be taken for gone.

use super::{Error, VersionSet, error::TellError};
use crate::{ids::VersionNumber, marks, states::VersionStates};

impl VersionSet {
    /// The last number from `first` on of which a state or the newest marks tell; `None` where they tell of none.
    ///
    /// # Errors
    /// [`Error::Told`].
    pub async fn told_from(&self, first: VersionNumber) -> Result<Option<VersionNumber>, Error> {
        let failed = |source| Error::Told { source_id: self.source.clone(), set: self.set.clone(), source };
        let states = VersionStates::new(self.store.clone(), self.source.clone(), self.set.clone());
        let states = states.last_from(first).await.map_err(|error| failed(Box::new(TellError::States(error))))?;
        let marks = marks::newest(&self.store, &self.source).await;
        let marks = marks.map_err(|error| failed(Box::new(TellError::Marks(error))))?;
        let gone = marks.and_then(|round| round.head.gone.last(&self.set)).filter(|gone| *gone >= first);
        Ok(states.max(gone))
    }

    /// Refuses a set that ends before a number of which a state or the newest marks tell: that one was given, and is lost.
    ///
    /// # Errors
    /// [`Error::RolledBack`], [`Error::ListingLags`]; [`Error::List`], [`Error::Told`]; [`Error::Read`] where the store does not answer.
    pub async fn require_told(&self) -> Result<(), Error> {
        let end = self.numbers(self.from()).await?.last().copied();
        self.beyond(end).await.map(drop)
    }

    /// A number above `end` of which a state or the marks tell, and that is there by now; `None` where they tell of none.
    ///
    /// # Errors
    /// As [`require_told`](Self::require_told), of a set that ends before it.
    pub(crate) async fn beyond(&self, end: Option<VersionNumber>) -> Result<Option<VersionNumber>, Error> {
        let first = VersionNumber(end.map_or(0, |end| end.0).saturating_add(1));
        let Some(told) = self.told_from(first).await? else { return Ok(None) };
        // Others go on meanwhile.
        let newest = self.numbers(Some(first)).await?.last().copied();
        self.refuse_before(newest.max(end), Some(told)).await?;
        Ok(Some(told))
    }

    /// Refuses an end that is below a number that was given.
    ///
    /// # Errors
    /// [`Error::RolledBack`]; [`Error::ListingLags`] where that is there all the same; [`Error::Read`] where the store does not answer.
    pub(crate) async fn refuse_before(
        &self,
        newest: Option<VersionNumber>,
        given: Option<VersionNumber>,
    ) -> Result<(), Error> {
        let Some(head) = given.filter(|given| newest < Some(*given)) else { return Ok(()) };
        match self.bytes(head).await {
            Ok(_) => Err(Error::ListingLags { path: self.path(head) }),
            Err(Error::Read { source, .. }) if source.is_absent() => {
                let (source_id, set) = (self.source.clone(), self.set.clone());
                Err(Error::RolledBack { source_id, set, found: newest.map_or(0, |newest| newest.0), head })
            }
            Err(error) => Err(error),
        }
    }
}
