//! Why a store cannot be used.

use tidemark_catalog::{
    chain, document, find,
    ids::{SetId, SourceId},
};
use tidemark_gateway::{credentials, open, store_url};

use crate::{generation, registrations};

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No store of this name.
    #[error("there is no store {0}")]
    Unknown(String),
    /// The registrations cannot be read.
    #[error(transparent)]
    Registrations(#[from] registrations::Error),
    /// Its URL is none.
    #[error("store {name}")]
    Url {
        /// The store.
        name: String,
        /// Why.
        source: store_url::Error,
    },
    /// Its credentials cannot be had.
    #[error("credentials of store {name}")]
    Credentials {
        /// The store.
        name: String,
        /// Why.
        source: credentials::Error,
    },
    /// It cannot be opened.
    #[error("open store {name}")]
    Open {
        /// The store.
        name: String,
        /// Why.
        source: open::Error,
    },
    /// It holds no repository although it is registered.
    #[error("store {name} at {url} holds no repository: emptied, moved away, or not mounted")]
    Emptied {
        /// The store.
        name: String,
        /// Where it is.
        url: String,
    },
    /// It holds another repository.
    #[error("store {name} at {url} holds repository {found}; registered is {known}")]
    Swapped {
        /// The store.
        name: String,
        /// Where it is.
        url: String,
        /// The repository in it.
        found: String,
        /// The one that was registered.
        known: String,
    },
    /// A generation that was written to it is gone, or is another one.
    #[error(
        "store {name} at {url} was put back: generation {generation} is gone or another one, its newest is {newest}"
    )]
    WentBack {
        /// The store.
        name: String,
        /// Where it is.
        url: String,
        /// The generation that is known.
        generation: u64,
        /// The newest in the store; 0 for none.
        newest: u64,
    },
    /// It did not say in time what it holds, while others can be asked or worked with.
    #[error("store {name} did not answer within {seconds} s")]
    Silent {
        /// The store.
        name: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A task was claimed under a generation that this opening of the coordinator has not taken in the store.
    #[error("store {name}: claimed under generation {claimed}, which an earlier opening has; it is {taken} now")]
    Behind {
        /// The store.
        name: String,
        /// The claim's.
        claimed: u64,
        /// The one that was taken.
        taken: u64,
    },
    /// Its identity cannot be read.
    #[error("identify store {name}")]
    Identity {
        /// The store.
        name: String,
        /// Why.
        source: document::Error,
    },
    /// Its generations cannot be read.
    #[error("generations of store {name}")]
    Generations {
        /// The store.
        name: String,
        /// Why.
        source: Box<generation::Error>,
    },
    /// What is known of its newest generation cannot be read.
    #[error("what is known of the generations of store {name} cannot be read")]
    UnreadableGeneration {
        /// The store.
        name: String,
        /// Why.
        source: registrations::Error,
    },
    /// What is known of the newest version of a set cannot be read.
    #[error("what is known of the newest version of {source_id}.{set} in store {name} cannot be read")]
    UnreadableHead {
        /// The store.
        name: String,
        /// The protected system.
        source_id: SourceId,
        /// The version set.
        set: SetId,
        /// Why.
        source: registrations::Error,
    },
    /// Its version sets cannot be found.
    #[error("version sets of store {name}")]
    Find {
        /// The store.
        name: String,
        /// Why.
        source: Box<find::Error>,
    },
    /// A chain in it cannot be read, or ends before what is known of it.
    #[error("versions of store {name}")]
    Chain {
        /// The store.
        name: String,
        /// Why.
        source: chain::Error,
    },
    /// The newest manifests of a set are damaged: nothing can be linked to them.
    #[error("the newest versions of {source_id}.{set} in store {name} are damaged")]
    DamagedEnd {
        /// The store.
        name: String,
        /// The protected system.
        source_id: SourceId,
        /// The version set.
        set: SetId,
        /// What is wrong.
        source: chain::Error,
    },
}
