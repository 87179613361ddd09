//! Failures of what is read from a store and written to it.

use tidemark_catalog::{chain, commit, document, pages};
use tidemark_gateway::causes::joined as words;

use super::{Away, Failure};

/// A failure of the store; it is away where that may pass.
pub(crate) fn store(code: &str, error: &(dyn std::error::Error + 'static), retryable: bool) -> Failure {
    Failure::of(code, words(error), retryable).by_absence_of(Away::Store)
}

/// What to do about a store that is not what it was.
pub(crate) const OTHER_STORE: &str =
    "bring the store back as it was; only if it was put back on purpose: tidemark store accept NAME --confirm NAME";

/// A chain that ends before its known head, or whose head is another one.
pub(crate) fn other_chain(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::permanent("TM-STORE-0113", words(error)).with_hint(OTHER_STORE)
}

impl From<chain::Error> for Failure {
    fn from(error: chain::Error) -> Self {
        if error.is_other_store() {
            return other_chain(&error);
        }
        store("TM-CAT-0001", &error, error.is_retryable())
    }
}

impl From<pages::Error> for Failure {
    fn from(error: pages::Error) -> Self {
        let retryable = matches!(&error, pages::Error::Page(page) if page.is_retryable());
        store("TM-CAT-0002", &error, retryable)
    }
}

impl From<document::Error> for Failure {
    fn from(error: document::Error) -> Self {
        store("TM-CAT-0003", &error, error.is_retryable())
    }
}

impl From<commit::Error> for Failure {
    fn from(error: commit::Error) -> Self {
        if matches!(&error, commit::Error::Chain(chain) if chain.is_other_store()) {
            return other_chain(&error);
        }
        if matches!(error, commit::Error::Overtaken { .. }) {
            return Self::permanent("TM-CAT-0007", words(&error))
                .with_hint("the newer version holds what this one would");
        }
        // A fenced claim is taken anew: the next one has a higher token. No attempt is counted for it.
        if matches!(error, commit::Error::Fenced { .. }) {
            return Self::claim_anew(words(&error));
        }
        if matches!(error, commit::Error::ClaimLost { .. }) {
            Self::retryable("TM-CAT-0004", words(&error))
        } else {
            store("TM-CAT-0004", &error, error.is_retryable())
        }
    }
}
