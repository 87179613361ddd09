//! The meaning of what is stored: ids, names in the store, manifests, pages, entries, segments' references, and the commit
//! of a version.
//!
//! A version exists if and only if its manifest exists and its hash link verifies; the manifest names every object that the
//! version needs. Objects are written once, under names that carry the writer's fencing token and a sequence number.

pub mod chain;
pub mod collect;
pub mod commit;
pub mod config_mirror;
pub mod content;
pub mod document;
pub mod door;
pub mod duration;
pub mod entry;
pub mod figures;
pub mod find;
pub mod identities;
pub mod ids;
pub mod keys;
pub mod layout;
pub mod manifest;
pub mod marks;
pub mod names;
pub mod opaque;
pub mod pages;
pub mod pattern;
pub mod position;
pub mod repair;
pub mod repository;
pub mod retention;
pub mod slice;
pub mod states;
pub mod stored;
pub mod work;

#[cfg(test)]
mod testing;
