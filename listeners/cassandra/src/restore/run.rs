//! Carries a plan out.
//!
//! Read [`execute`] first: the course of a restore. [`pipeline`] runs the pieces of an object side by side, `builds` waits for
//! indexes and views. [`count`] and `undone` hand tables over to [`crate::undo`], to compare only and to undo.

mod builds;
pub mod count;
pub mod execute;
pub mod pipeline;
mod undone;
