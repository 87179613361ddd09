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

/// A chain that ends before its known head.
pub(crate) fn other_chain(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::permanent("TM-STORE-0113", words(error)).with_hint(OTHER_STORE)
}

/// The code of a chain that cannot be read.
pub(crate) fn code(error: &chain::Error) -> &'static str {
    match error {
        chain::Error::Told { source, .. } => match **source {
            chain::TellError::States(_) => "TM-CAT-0009",
            chain::TellError::Marks(_) => "TM-GC-0001",
        },
        _ => "TM-CAT-0001",
    }
}

impl From<chain::Error> for Failure {
    fn from(error: chain::Error) -> Self {
        if error.is_other_store() {
            return other_chain(&error);
        }
        store(code(&error), &error, error.is_retryable())
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
        // No claim of this daemon is above those of a daemon that took the store over.
        if matches!(&error, commit::Error::Fenced { mine, theirs, .. } if theirs.generation > mine.generation) {
            return Self::permanent("TM-STORE-0118", words(&error)).with_hint(
                "another daemon, or this one with another state directory, uses the store now: protect by that one",
            );
        }
        // A fenced claim is taken anew: the next one has a higher token. No attempt is counted for it.
        if matches!(error, commit::Error::Fenced { .. }) {
            return Self::claim_anew(words(&error));
        }
        if let commit::Error::Chain(told @ chain::Error::Told { .. }) = &error {
            store(code(told), &error, error.is_retryable())
        } else if matches!(error, commit::Error::ClaimLost { .. }) {
            Self::retryable("TM-CAT-0004", words(&error))
        } else {
            store("TM-CAT-0004", &error, error.is_retryable())
        }
    }
}

#[cfg(test)]
mod tests {
    use tidemark_catalog::ids::{FencingToken, VersionNumber};

    use super::*;

    #[test]
    fn a_claim_is_taken_anew_unless_a_later_generation_has_the_store() {
        let fenced = |generation| {
            let (mine, theirs) =
                (FencingToken { generation: 2, revision: 7 }, FencingToken { generation, revision: 9 });
            Failure::from(commit::Error::Fenced { mine, theirs, number: VersionNumber(1) })
        };
        assert!(fenced(2).is_claim_anew());
        let superseded = fenced(3);
        assert!(!superseded.retryable && superseded.code == "TM-STORE-0118", "{superseded}");
    }
}
