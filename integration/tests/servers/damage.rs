//! Damage: to a node's files, to what was staged, to a version in the store, to rows that were just restored. It is reported by
//! name and reason, or it changes nothing; wrong rows never come of it.

mod disturbed;
mod files;
mod processes;
mod stored;
