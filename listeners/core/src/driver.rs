//! Names of the seams in one place.

pub use crate::{blocks::*, failure::Failure as Error, records::*, restorer::*, source::*};
