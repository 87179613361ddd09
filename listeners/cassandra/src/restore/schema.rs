//! The schema of a restored object as CQL statements, from what was captured. Nothing here talks to a server.
//!
//! Read [`statements`] first: what is made, and in which order. [`cql`] is the text below it, tokens and quotes. The others change
//! a captured schema before (`renamed`) or its statements after: [`older`] for what a release cannot hold, [`functions`] for what
//! is not allowed. `head` refuses what does not make what it was captured as. [`known`] knows statements again by their text, [`made`] keeps account of those that failed.

pub mod cql;
pub mod functions;
mod head;
pub mod known;
pub mod made;
pub mod older;
pub(super) mod renamed;
pub mod statements;
