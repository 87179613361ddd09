//! Stable codes of what operators see; each has a page in `docs/errors/`.

/// The specification is not sound.
pub const SPECIFICATION: &str = "TM-MONGO-0001";
/// No server can be reached.
pub const CONNECT: &str = "TM-MONGO-0002";
/// A server cannot be asked what it holds.
pub const DESCRIBE: &str = "TM-MONGO-0003";
/// Credentials cannot be read.
pub const CREDENTIALS: &str = "TM-MONGO-0004";
/// Options of a policy or a restore are not sound.
pub const OPTIONS: &str = "TM-MONGO-0005";
/// A server is of another replica set.
pub const OTHER_SET: &str = "TM-MONGO-0006";
/// A capture failed.
pub const CAPTURE: &str = "TM-MONGO-0101";
/// An event that is not known.
pub const UNKNOWN_EVENT: &str = "TM-MONGO-0102";
/// A place in the log is gone.
pub const GAP: &str = "TM-MONGO-0103";
/// Nothing proves that all events were given.
pub const UNPROVEN: &str = "TM-MONGO-0104";
/// A consolidation failed.
pub const CONSOLIDATION: &str = "TM-MONGO-0201";
/// Two members contradict each other.
pub const CONTRADICTION: &str = "TM-MONGO-0202";
/// A version is not proven.
pub const VERIFICATION: &str = "TM-MONGO-0203";
/// A target holds data.
pub const NOT_EMPTY: &str = "TM-MONGO-0301";
/// A destination does not take what it is given.
pub const WRITE: &str = "TM-MONGO-0302";
/// A document at the destination is another.
pub const OTHER: &str = "TM-MONGO-0303";
