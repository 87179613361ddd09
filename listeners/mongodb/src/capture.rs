//! The listener: captures a replica set, or one of its members, while it is written to.
//!
//! A capture is a scan and the events since before it. Nothing is held at the source: a run that was killed goes on
//! from what the store has, and the log of the source keeps the events. In this order:
//! 1. *Begin.* The time is noted and the change stream is opened from it on (`begun.json`).
//! 2. *Scan.* The collections are listed, and each is read in the order of its `_id` index. Each run of 8 MiB is a
//!    file, and a document says how far it came (`scan-….json`). Between two runs the stream is read.
//! 3. *Prove.* The stream is read until it is proven that all events before a time behind all of this were given. Where
//!    collections came, went or were renamed meanwhile, they are listed again and step 2 is done for what is new.
//! 4. *Finish.* What is known now is written down (`ended.json`), then the slice.
//!
//! What a kill leaves behind, and what the next run of the task does:
//! - before `begun.json`: nothing; it begins.
//! - while a collection is read: its runs so far; it goes on behind the last one that a document names.
//! - while events are read: runs of events so far; it goes on from the token that the last document names. If the
//!   source does not have that place any more, the capture fails by name, and the next task begins anew.
//! - before the slice: everything, `ended.json` or not; it sends no file.

mod beat;
mod journal;
mod judge;
mod listener;
mod names;
mod run;
mod scan;
mod stream;
mod told;

pub use listener::{Config, MongoListener};

#[cfg(test)]
pub(crate) mod tests;
