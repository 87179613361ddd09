//! What every source has in common: the seams `Source`, `RecordSource`, `BlockSource`, `Restorer` and `Listener`, the control
//! protocol between orchestrator and listeners, and the words for checks and progress.

pub mod access;
pub mod assignment;
pub mod blocks;
pub mod check;
pub mod client;
pub mod conformance;
pub mod credentials;
pub mod failure;
pub mod launch;
pub mod listener;
pub mod needs;
pub mod process;
pub mod progress;
pub mod proto;
pub mod records;
pub mod restorer;
pub mod shape;
pub mod ship;
pub mod socket;
pub mod source;
pub mod tags;
