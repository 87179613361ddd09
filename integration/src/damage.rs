//! Damage done on purpose: to files of real snapshots, which are then captured and consolidated in process by the thousand.
//!
//! What comes of a harmed snapshot is compared with what came of the whole one by the bytes of the segments: they hold every
//! cell, write time, TTL and deletion, and the same content gives the same bytes. Nothing is decoded.

pub mod bench;
pub mod draw;
pub mod harm;
pub mod shelf;
pub mod tally;

pub use self::{
    bench::{Bench, Outcome},
    draw::{Case, Draw},
    harm::Harm,
    shelf::Shelf,
    tally::Tally,
};
