//! Numbers that a caller may set.

use std::env;

use anyhow::{Context, Result};

/// The number in an environment variable, or `default` where it is not set.
///
/// # Errors
/// Naming the variable, where it is no number.
pub fn number(name: &str, default: u64) -> Result<u64> {
    env::var(name).map_or(Ok(default), |text| text.trim().parse().with_context(|| format!("{name}={text}")))
}
