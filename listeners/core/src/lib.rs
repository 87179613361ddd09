//! What every source has in common: the seams `Listener`, `Resolver`, `Restorer` and `SourceDriver`, the control protocol
//! between orchestrator and listeners, and the words for checks and progress.

pub mod assignment;
pub mod check;
pub mod client;
pub mod driver;
pub mod failure;
pub mod launch;
pub mod listener;
pub mod needs;
pub mod progress;
pub mod proto;
pub mod resolver;
pub mod socket;
