//! The orchestrator: coordination, background tasks, control of listeners, and the answers to the API.
//!
//! Change data never passes through here on its way to the store: listeners write to it directly. Nothing that a restore
//! needs is kept outside the store.

pub mod allow;
mod carried;
pub mod collect_task;
pub mod control_api;
pub mod coordinator;
pub mod daemon;
pub mod executors;
mod expiry;
pub mod failure;
pub mod generation;
pub mod kinds;
pub mod limits;
pub mod listeners;
pub mod metrics;
pub mod nodes;
pub mod protect;
mod reading;
pub mod registrations;
mod resting;
pub mod restore_task;
pub mod schedule;
pub mod scheduler;
#[cfg(test)]
mod simulation;
pub mod sources;
mod state_file;
pub mod stores;
pub mod tasks;
pub mod totals;
pub mod verify_task;
pub mod version_name;
