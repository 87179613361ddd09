//! Bytes to and from object storage, and the few things every crate needs from the outside world.
//!
//! What the gateway solves: a store is named by a URL, proven safe before it is trusted, and used through
//! `Arc<dyn object_store::ObjectStore>` decorated with retry, bounded concurrency and checksums. It knows no source and
//! no meaning of the bytes.

pub mod backoff;
pub mod blocking;
pub mod causes;
mod checksums;
pub mod credentials;
pub mod digest;
pub mod env;
#[cfg(test)]
mod fake_http;
pub mod fetch;
mod guarded;
pub mod limits;
mod local;
pub mod open;
mod paged;
pub mod pause;
pub mod preflight;
pub mod proven;
pub mod retry;
pub mod store_url;
pub mod stored;
pub mod tls;
pub mod tree;
pub mod unfinished;
pub mod upload;
pub mod week;

pub use digest::Digest;
pub use env::Env;
pub use stored::Stored;
pub use tree::Tree;
