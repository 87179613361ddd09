//! The REST API, its types and its OpenAPI document, and the `tidemark` command line, which speaks nothing but that API.
//!
//! What the API does is answered elsewhere: the server is generic over [`control::ControlApi`].

pub mod api;
pub mod control;
