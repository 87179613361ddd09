//! Reading whole tables by CQL at `ALL`, and finding every difference between two.
//!
//! Every selectable column comes back as raw bytes with its write time and TTL, element by element where a column has
//! several cells. Nothing of the system under test is used to read or to decode.

pub mod alike;
mod cells;
pub mod digest;
pub mod image;
pub mod read;

pub use self::{
    digest::TableDigest,
    image::TableImage,
    read::{read, read_at, read_each},
};
