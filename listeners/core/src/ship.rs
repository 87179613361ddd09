//! What a listener ships with: the files of one partition go to the store, and a slice manifest says so.
//!
//! A listener of any source brings three things of its own: what its objects are, which local files hold each of them
//! ([`Parcel`]), and what the partition says of itself (the slice's `info`). The rest is here:
//!
//! ```text
//! let stage = Stage::new(store, assignment, partition);
//! if let Some(slice) = stage.done().await? { return Ok(slice) }
//! let shipper = Shipper::new(&stage, &assignment.work.limits, Meter::new(progress, total_bytes));
//! for (item, parcels) in chosen { objects.push(shipper.object(&item, parcels).await?) }
//! stage.finish(&info, Captured { started, finished, objects }).await
//! ```
//!
//! Documents have one name in a task: of two runs that answer at once one is first, and the other finds its answer. A file has
//! the name of the claim under which it is stored, so that only that claim's listener writes it; a later claim lists what
//! earlier ones stored. What a run finds with the right size is not sent again; its digest is computed from the local file. So
//! the files of a task must not change between its runs: a listener ships what it holds fast (a snapshot), and proves before it
//! ships that this is what it took.
//!
//! | killed | left behind | the next run of the task |
//! | --- | --- | --- |
//! | between two files | the files so far | sends the others |
//! | during a file | nothing under its name (multipart), or the file | sends it, or finds it |
//! | before the slice manifest | all files, `info.json` or not | sends no file |
//! | after it | a slice | answers with it |

mod buffers;
mod error;
mod frames;
mod meter;
mod shipper;
mod stage;

pub use error::Error;
pub use meter::Meter;
pub use shipper::{Item, LocalFile, Parcel, Shipper};
pub use stage::{Captured, Stage};
