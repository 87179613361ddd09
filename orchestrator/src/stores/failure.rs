//! Failures of stores.

use tidemark_gateway::causes::joined as words;

use super::{Error, FindError};
use crate::{
    failure::{
        Failure,
        catalog::{OTHER_STORE, code, other_chain, store},
    },
    generation,
};

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Unknown(_) => Self::permanent("TM-STORE-0404", words(&error)),
            Error::Registrations(error) => error.into(),
            Error::Credentials { .. } => Self::permanent("TM-STORE-0103", words(&error))
                .with_hint("credentials are read by the daemon: its environment or the file it names"),
            Error::Url { .. } | Error::Open { .. } => Self::permanent("TM-STORE-0101", words(&error)),
            Error::Emptied { .. } => Self::permanent("TM-STORE-0110", words(&error)).with_hint(OTHER_STORE),
            Error::Swapped { .. } => Self::permanent("TM-STORE-0111", words(&error)).with_hint(OTHER_STORE),
            Error::WentBack { .. } => Self::permanent("TM-STORE-0112", words(&error)).with_hint(OTHER_STORE),
            Error::Silent { .. } => store("TM-STORE-0117", &error, true),
            Error::Behind { .. } => Self::claim_anew(words(&error)),
            Error::Identity { ref source, .. } => store("TM-STORE-0115", &error, source.is_retryable()),
            Error::Generations { ref source, .. } if matches!(**source, generation::Error::TooHigh { .. }) => {
                Self::permanent("TM-STORE-0119", words(&error))
                    .with_hint("find out who wrote it, and remove that object: no daemon has come to so high a number")
            }
            Error::Generations { ref source, .. } => store("TM-STORE-0104", &error, source.is_retryable()),
            Error::UnreadableGeneration { ref name, .. } => Self::permanent("TM-STORE-0120", words(&error))
                .with_hint(format!("take the store as it is now: tidemark store accept {name} --confirm {name}")),
            Error::UnreadableHead { ref source_id, ref set, ref name, .. } => {
                Self::permanent("TM-STORE-0120", words(&error)).with_hint(format!(
                    "take the set as it is now: tidemark version repair {source_id}.{set} --store {name}"
                ))
            }
            Error::Find { ref source, .. } => store("TM-CAT-0006", &error, source.is_retryable()),
            Error::Chain { ref source, .. } if source.is_other_store() => other_chain(&error),
            Error::DamagedEnd { ref source_id, ref set, ref name, .. } => Self::permanent("TM-CAT-0008", words(&error))
                .with_hint(format!(
                    "put the manifest back from a copy of the store, or seal it: tidemark version repair {source_id}.{set} \
                     --store {name}"
                )),
            Error::Chain { ref source, .. } => store(code(source), &error, source.is_retryable()),
        }
    }
}

impl From<FindError> for Failure {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Store(error) => error.into(),
            FindError::Chain(error) => error.into(),
            FindError::Ambiguous { ref id, ref stores } => {
                let hint = format!("name the store: {}:{id}", stores.first().map_or("STORE", String::as_str));
                Self::permanent("TM-VER-0409", words(&error)).with_hint(hint)
            }
            FindError::Unregistered { .. } => Self::permanent("TM-REST-0017", words(&error))
                .with_hint("register the store again, or plan anew with what there is"),
            FindError::OtherManifest { .. } => Self::permanent("TM-REST-0018", words(&error))
                .with_hint("find out what replaced it; plan anew if it is what you want"),
        }
    }
}
