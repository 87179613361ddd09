//! MongoDB as a source: collections captured raw, collapsed by position, restored by the driver.

pub mod codes;
pub mod connect;
pub mod consolidate;
pub mod delta;
pub mod event;
pub mod key;
pub mod raw;
pub mod segment;
pub mod spec;
pub mod staged;
pub mod state;
pub mod time;
pub mod token;
pub mod verify;
