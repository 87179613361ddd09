//! Sealed bytes: AES-256-GCM under the key of one object, with a random nonce for each seal.
//!
//! A frame is nonce (12), ciphertext, tag (16). Its associated data, 49 bytes, say what it is and where it belongs: repository
//! (16), role (1), name (32): of a chunk its class and id, of anything else its role and number.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use tidemark_gateway::Env;
use uuid::Uuid;

use crate::{ChunkId, Class, Secret};

/// Bytes that a frame has more than what is sealed in it.
pub(crate) const FRAME_BYTES: usize = NONCE_LEN + 16;

/// What is sealed in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Chunk(Class, ChunkId),
    /// The entries of a pack of so many bytes.
    Entries(u64),
    /// A part of an index, by its number.
    Shard(u64),
    Group(u64),
    Packs(u64),
    Summary(u64),
    /// The whole of an object of somebody else's format.
    Object,
}

/// Wrong key, wrong place or changed bytes: which of them cannot be told.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the seal is broken")]
pub(crate) struct Broken;

impl Role {
    fn associated(self, repository: Uuid) -> [u8; 49] {
        let (role, name) = match self {
            Self::Chunk(class, id) => (class as u8, *id.as_bytes()),
            Self::Entries(number) => (0x10, numbered(number)),
            Self::Shard(number) => (0x11, numbered(number)),
            Self::Group(number) => (0x12, numbered(number)),
            Self::Packs(number) => (0x13, numbered(number)),
            Self::Summary(number) => (0x14, numbered(number)),
            Self::Object => (0x15, numbered(0)),
        };
        let mut bytes = [role; 49];
        bytes[..16].copy_from_slice(repository.as_bytes());
        bytes[17..].copy_from_slice(&name);
        bytes
    }
}

fn numbered(number: u64) -> [u8; 32] {
    let mut name = [0; 32];
    name[..8].copy_from_slice(&number.to_le_bytes());
    name
}

/// Seals and opens the frames of one object.
pub(crate) struct Frames {
    key: LessSafeKey,
    repository: Uuid,
}

impl Frames {
    pub(crate) fn new(key: &Secret, repository: Uuid) -> Self {
        Self { key: cipher(key), repository }
    }

    /// Appends the frame of what `fill` appends.
    pub(crate) fn seal(&self, env: &Env, role: Role, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
        seal(&self.key, env, &role.associated(self.repository), out, fill);
    }

    /// What is sealed in `frame`, which is opened in its place.
    pub(crate) fn open<'a>(&self, role: Role, frame: &'a mut [u8]) -> Result<&'a mut [u8], Broken> {
        open(&self.key, &role.associated(self.repository), frame)
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Frames(***)")
    }
}

pub(crate) fn cipher(key: &Secret) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).expect("the key has 32 bytes"))
}

pub(crate) fn seal(
    key: &LessSafeKey,
    env: &Env,
    associated: &[u8],
    out: &mut Vec<u8>,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    let nonce: [u8; NONCE_LEN] = env.random();
    out.extend_from_slice(&nonce);
    let start = out.len();
    fill(out);
    let sealed =
        key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated), &mut out[start..]);
    out.extend_from_slice(sealed.expect("a frame is shorter than 64 GiB").as_ref());
}

pub(crate) fn open<'a>(key: &LessSafeKey, associated: &[u8], frame: &'a mut [u8]) -> Result<&'a mut [u8], Broken> {
    let (nonce, sealed) = frame.split_first_chunk_mut::<NONCE_LEN>().ok_or(Broken)?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    key.open_in_place(nonce, Aad::from(associated), sealed).map_err(|_| Broken)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn frames(key: u8, repository: u128) -> Frames {
        Frames::new(&Secret::take(&mut [key; 32]), Uuid::from_u128(repository))
    }

    fn sealed(frames: &Frames, env: &Env, role: Role) -> Vec<u8> {
        let mut out = Vec::new();
        frames.seal(env, role, &mut out, |out| out.extend_from_slice(b"abc"));
        out
    }

    #[test]
    fn a_frame_opens_only_where_it_belongs() {
        let env = Env::system();
        let role = |byte| Role::Chunk(Class::Data, ChunkId::from_bytes([byte; 32]));
        let frame = sealed(&frames(1, 1), &env, role(1));
        let opens = |frames: Frames, role| frames.open(role, &mut frame.clone()).map(|open| open.to_vec());
        assert_eq!(opens(frames(1, 1), role(1)), Ok(b"abc".to_vec()));
        assert_eq!(opens(frames(2, 1), role(1)), Err(Broken), "another key");
        assert_eq!(opens(frames(1, 2), role(1)), Err(Broken), "another repository");
        assert_eq!(opens(frames(1, 1), role(2)), Err(Broken), "another id");
        let tree = Role::Chunk(Class::Tree, ChunkId::from_bytes([1; 32]));
        assert_eq!(opens(frames(1, 1), tree), Err(Broken), "another class");
        assert_eq!(opens(frames(1, 1), Role::Shard(0)), Err(Broken), "another role");
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_found() {
        let (env, frames) = (Env::system(), frames(1, 1));
        let frame = sealed(&frames, &env, Role::Object);
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(frames.open(Role::Object, &mut changed), Err(Broken), "bit {bit}");
        }
        for len in 0..frame.len() {
            assert_eq!(frames.open(Role::Object, &mut frame[..len].to_vec()), Err(Broken), "{len} bytes");
        }
    }

    #[test]
    fn no_nonce_comes_twice() {
        let (env, frames) = (Env::system(), frames(1, 1));
        let nonces: HashSet<_> =
            (0..100_000).map(|_| sealed(&frames, &env, Role::Object)[..NONCE_LEN].to_vec()).collect();
        assert_eq!(nonces.len(), 100_000);
    }
}
