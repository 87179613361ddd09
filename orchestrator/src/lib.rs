//! The orchestrator: coordination, background tasks, control of listeners, and the answers to the API.
//!
//! Change data never passes through here on its way to the store: listeners write to it directly. Nothing that a restore
//! needs is kept outside the store.

pub mod coordinator;
pub mod errors;
pub mod tasks;
