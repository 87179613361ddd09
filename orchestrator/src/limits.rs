//! Limits of stores and policies: bounds on bytes in a second and on requests at a time, with hours in which others hold.
//!
//! A store's limit bounds what the daemon and all listeners together ask of that store; a policy's what its own run asks, its
//! listeners and its consolidation. Listeners are processes: each is given a share (`divide`) and told by control when it
//! becomes another one, and the daemon keeps the rest ([`Bounds`]). Shares are divided anew when a listener comes or goes, when
//! hours begin or end, and when a limit is edited.
//!
//! The shares never add up to more than the limit. What others give up is told to them before a listener that comes is given
//! its share; nobody waits for them to have heard it.

mod bounds;
mod divide;
pub(crate) mod periodic;
mod spec;

pub use bounds::{Bound, Bounds, Held, Owner, Share};
pub use spec::{Error, HoursSpec, LimitsSpec};
