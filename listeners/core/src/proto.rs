//! Messages and services of the control protocol, version 4, generated from `proto/control.proto`.
#![allow(missing_docs, clippy::all, unreachable_pub, reason = "generated code")]

use std::num::NonZeroU64;

use tidemark_gateway::limits::Limit;

tonic::include_proto!("tidemark.control.v1");

/// Version of the protocol that this build speaks.
pub const PROTOCOL: u32 = 4;

impl From<Limit> for Limits {
    fn from(limit: Limit) -> Self {
        let requests = limit.requests.map(|requests| u32::try_from(requests).unwrap_or(u32::MAX));
        Self { bytes_per_second: limit.bytes_per_second.map(NonZeroU64::get), requests }
    }
}

impl From<Limits> for Limit {
    /// A limit of 0 is read as the least that there is.
    fn from(limits: Limits) -> Self {
        let bytes = limits.bytes_per_second.map(|bytes| NonZeroU64::new(bytes).unwrap_or(NonZeroU64::MIN));
        let requests = limits.requests.map(|requests| usize::try_from(requests).unwrap_or(usize::MAX));
        Self { bytes_per_second: bytes, requests }
    }
}
