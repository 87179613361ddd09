//! What undoing by difference shares: what readers see in a target becomes a version's state, and only what differs is written.
//!
//! The source cuts the version's stream into spans, which cover the target without a gap. [`course`] does them a few at a time
//! and moves the place over those that are done without a hole. A span compares both streams in the order of their keys
//! ([`pairs`]), and counts how each record stands ([`standing`]). [`state`] is what all spans came to, as it is saved and told;
//! [`keep`] saves it; [`attempts`] numbers what must not be sent twice.
//!
//! A crash leaves the place that was saved last. From there the undo goes on with the same instant: what is written again is
//! the same, and what reads as the version says is left alone.

pub mod attempts;
pub mod course;
pub mod keep;
pub mod pairs;
pub mod standing;
pub mod state;
#[cfg(test)]
mod tests;
