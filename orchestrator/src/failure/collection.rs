//! Failures about versions that expired, are held or were collected, and of collection itself.

use tidemark_catalog::{
    collect, commit,
    ids::VersionId,
    marks,
    states::{self, VersionState},
};
use tidemark_gateway::causes::joined as words;

use super::{
    Failure,
    catalog::{other_chain, store},
};

/// Refuses a version that was given up to collection.
///
/// # Errors
/// `TM-VER-0411`.
pub(crate) fn refuse_collected(id: &VersionId, state: &VersionState) -> Result<(), Failure> {
    if !state.collected {
        return Ok(());
    }
    let why = state.expired.as_ref().map_or_else(String::new, |expired| {
        format!(": expired {:.0} by {}, {}", expired.at, expired.by, expired.reason)
    });
    Err(Failure::permanent("TM-VER-0411", format!("{id} was collected{why}"))
        .with_hint("tidemark version list shows what there is"))
}

impl From<states::Error> for Failure {
    fn from(error: states::Error) -> Self {
        match &error {
            states::Error::Refused { .. } => Self::permanent("TM-VER-0422", words(&error)),
            _ => store("TM-CAT-0009", &error, error.is_retryable()),
        }
    }
}

impl From<marks::Error> for Failure {
    fn from(error: marks::Error) -> Self {
        store("TM-GC-0001", &error, error.is_retryable())
    }
}

impl From<collect::Error> for Failure {
    fn from(error: collect::Error) -> Self {
        match error {
            collect::Error::Chain { source, .. } if source.is_other_store() => other_chain(&source),
            collect::Error::Barrier { source: commit::Error::Chain(source), .. } if source.is_other_store() => {
                other_chain(&source)
            }
            collect::Error::Marks(error) => error.into(),
            collect::Error::States(error) => error.into(),
            collect::Error::OldGeneration { .. } => {
                Self::permanent("TM-GC-0003", words(&error)).with_hint("the daemon that uses the store now collects it")
            }
            _ => store("TM-GC-0002", &error, error.is_retryable()),
        }
    }
}
