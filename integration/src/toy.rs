//! A toy kind of source: replicas are directories of JSON files. It tests the seams, as somebody would who adds a kind of source
//! by `docs/add-a-source.md`; the product does not have it.
//!
//! A replica's directory holds `<object>/<name>.json`, each a document `{"key": …, "time": …, "value": …}` ([`record`]). Objects
//! are the sub-directories. Documents are replaced by renaming, never changed in place, and never removed: a value of `null` says
//! that a key was deleted. Names that begin with `.` belong to nobody's data. Of all documents of a key, in one replica or in
//! several, the newest wins. Replicas may lag behind each other.
//!
//! - [`spec`] and [`options`] are what people write;
//! - [`snapshot`] holds a replica's files, [`capture`] ships them;
//! - [`consolidate`] merges them into segments ([`segment`]), [`verify`] proves these, [`restore`] brings them back;
//! - [`driver`] puts it all behind the seams.

use tidemark_gateway::causes::joined;
use tidemark_listener_core::failure::Failure;

pub mod capture;
#[cfg(test)]
mod conformance;
pub mod consolidate;
pub mod driver;
pub mod options;
pub mod record;
pub mod replica;
pub mod restore;
pub mod segment;
pub mod snapshot;
pub mod spec;
pub mod verify;

/// The name of the kind.
pub const KIND: &str = "toy";

/// The listener's program.
pub const LISTENER: &str = "tidemark-listener-toy";

/// The daemon that knows this kind and no other.
pub const DAEMON: &str = "tidemarkd-toy";

/// Code of a specification that is none.
const SPECIFICATION: &str = "TM-TOY-0001";

/// Code of options that are none.
const OPTIONS: &str = "TM-TOY-0002";

/// Code of a directory that cannot be read or written.
const DIRECTORY: &str = "TM-TOY-0003";

/// Code of a consolidation that failed.
const CONSOLIDATION: &str = "TM-TOY-0004";

/// Code of an entry that is not proven.
const VERIFICATION: &str = "TM-TOY-0005";

/// Code of a target that holds data although the plan says that it is empty.
const NOT_EMPTY: &str = "TM-TOY-0006";

/// Code of a record that is read back as another.
const OTHER: &str = "TM-TOY-0007";

/// A directory or a file of a replica that is away: that may pass.
fn away(error: &replica::Error) -> Failure {
    Failure::retryable(DIRECTORY, joined(error)).with_hint("see that the replica's directory is there and may be read")
}
