//! What all block sources share: chunks, packs, their index, and the repository's keys.
//!
//! The crate knows bytes, not sources. A stream or an image is *cut* into chunks ([`cut`]); each chunk is named by a keyed
//! digest ([`id`]); chunks that the store does not have yet are compressed ([`prepare`]), sealed and appended to a *pack*
//! ([`pack`], [`intake`]); the *index* ([`index`]) says in which pack a chunk is; chunks are *read* back in coalesced ranges,
//! each of them verified ([`read`]). Keys are in [`keys`] and their wrapped copies in [`slots`].
//!
//! What holds whatever happens:
//! - No name is written twice: the caller gives each pack and index object a new name, and it is created, never overwritten.
//! - A chunk is referred to again only from a pack that the caller [admitted](reuse::Admitted). That the store has it is no reason.
//! - Nothing that is read is trusted: lengths are checked before anything is allocated, every byte is under an authenticated
//!   seal, and a chunk's bytes are compared with its id.
//! - The index holds nothing that the packs do not: it can be lost and made again ([`pack::PackReader`]).
//! - Memory is bounded by configuration and does not grow with the number of chunks in the store.
//!
//! A crash leaves packs and index objects that nothing refers to, or unfinished uploads; both are garbage. A reference counts
//! only once the pack that it names is in the writer's list of finished packs.

pub mod cut;
mod fields;
mod frame;
pub mod header;
pub mod id;
pub mod index;
pub mod intake;
pub mod keys;
pub mod pack;
pub mod prepare;
pub mod read;
pub mod reuse;
mod secret;
pub mod slots;
mod upload;

pub use id::{ChunkId, Class};
pub use secret::Secret;
