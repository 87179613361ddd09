//! Key bytes that are wiped when they are dropped and never printed.

use std::fmt;

use tidemark_gateway::Env;
use zeroize::Zeroize;

/// 32 secret bytes. They stand in one place in memory, which is wiped on drop; each clone is another place. Prints as `***`.
///
/// What a cipher expands a key into lies within the cipher's own state, which is not wiped.
#[derive(Clone)]
pub struct Secret(Box<[u8; 32]>);

impl Secret {
    /// New random bytes.
    pub fn random(env: &Env) -> Self {
        Self(Box::new(env.random()))
    }

    /// The secret of these bytes, which are wiped where the caller keeps them.
    pub fn take(bytes: &mut [u8; 32]) -> Self {
        let secret = Self(Box::new(*bytes));
        bytes.zeroize();
        secret
    }

    /// The bytes, to be handed to a cipher or over a protected channel.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key for one purpose (BLAKE3's key derivation), from which neither this key nor that of another purpose follows.
    pub(crate) fn derive(&self, purpose: &str) -> Self {
        Self::take(&mut blake3::derive_key(purpose, self.expose()))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars_and_the_bytes_it_took_are_wiped() {
        let mut bytes = [7; 32];
        let secret = Secret::take(&mut bytes);
        assert_eq!((format!("{secret:?}"), bytes, *secret.expose()), ("***".into(), [0; 32], [7; 32]));
    }

    #[test]
    fn purposes_have_keys_of_their_own() {
        let secret = Secret::take(&mut [7; 32]);
        assert_eq!(secret.derive("a").expose(), secret.derive("a").expose());
        assert_ne!(secret.derive("a").expose(), secret.derive("b").expose());
    }
}
