//! Bytes to and from object storage, and the few things every crate needs from the outside world.
//!
//! What the gateway solves: a store is named by a URL, proven safe before it is trusted, and used through
//! `Arc<dyn object_store::ObjectStore>` decorated with retry, bounded concurrency and checksums. It knows no source and
//! no meaning of the bytes.

pub mod digest;
pub mod env;

pub use digest::Digest;
pub use env::Env;
