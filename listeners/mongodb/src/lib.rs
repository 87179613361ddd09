//! MongoDB as a source: collections captured raw, collapsed by position, restored by the driver.

pub mod capture;
pub mod codes;
pub mod connect;
pub mod consolidate;
pub mod delta;
pub mod describe;
pub mod driver;
pub mod event;
pub mod instant;
pub mod key;
pub mod options;
pub mod preflight;
pub mod raw;
pub mod restore;
pub mod segment;
pub mod set;
pub mod spec;
pub mod staged;
pub mod state;
#[cfg(test)]
pub(crate) mod testing;
pub mod time;
pub mod token;
pub mod verify;
