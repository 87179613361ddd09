//! Messages and services of the control protocol, version 3, generated from `proto/control.proto`.
#![allow(missing_docs, clippy::all, unreachable_pub, reason = "generated code")]

tonic::include_proto!("tidemark.control.v1");

/// Version of the protocol that this build speaks.
pub const PROTOCOL: u32 = 3;
