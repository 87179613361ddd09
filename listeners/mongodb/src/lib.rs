//! MongoDB as a source: collections captured raw, collapsed by position, restored by the driver.

pub mod connect;
pub mod delta;
pub mod event;
pub mod key;
pub mod raw;
pub mod spec;
pub mod state;
pub mod time;
pub mod token;
