//! Tokens of listeners: the daemon knows them by their hashes only.

use std::{fmt, sync::Arc};

use tidemark_gateway::{Digest, Env};

/// Proves who a listener is; new for each start of its process. Prints as `***`.
#[derive(Clone)]
pub struct ListenerToken(Arc<str>);

impl ListenerToken {
    /// A new token of 32 random bytes.
    pub fn generate(env: &Env) -> Self {
        Self(hex::encode(env.random::<32>()).into())
    }

    /// The secret itself, for a listener's environment.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub(super) fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl fmt::Debug for ListenerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// BLAKE3 of a token. Comparing two takes the same time wherever they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenHash(blake3::Hash);

impl TokenHash {
    /// That of the token that is presented.
    pub(super) fn of(token: &str) -> Self {
        Self(blake3::Hash::from_bytes(*Digest::of(token.as_bytes()).as_bytes()))
    }
}
