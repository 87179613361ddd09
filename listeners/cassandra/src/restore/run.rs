//! Carries a plan out.
//!
//! Read [`execute`] first: the course of a restore. `builds` waits for indexes and views. [`count`] and `undone` hand tables over to [`super::undo`], to compare only and to undo.

mod builds;
pub mod count;
pub mod execute;
mod undone;
