//! The REST API, its types and its OpenAPI document, and the `tidemark` command line, which speaks nothing but that API.
//!
//! What the API does is answered elsewhere: the server takes any [`control::ControlApi`]. Only this crate serves HTTP.

pub mod api;
pub mod cli;
pub mod client;
pub mod control;
pub mod explain;
pub mod problem;
pub mod server;
pub mod token;
