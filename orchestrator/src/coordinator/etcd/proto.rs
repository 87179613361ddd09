//! Messages and clients of etcd's v3 API, generated from `proto/etcd.proto`.
#![allow(missing_docs, clippy::all, unreachable_pub, reason = "generated code")]

tonic::include_proto!("etcdserverpb");
