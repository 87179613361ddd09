//! Name and password of a user of the source.

use tidemark_listener_core::credentials::Credentials;

use super::Error;
use crate::spec::MongoSpec;

/// Environment variables of a listener with the name and the password of the source's user.
pub const VARIABLES: [&str; 2] = ["TIDEMARK_MONGODB_USERNAME", "TIDEMARK_MONGODB_PASSWORD"];

/// The credentials that a specification names, read from their file.
///
/// # Errors
/// [`Error::Credentials`], [`Error::Spec`].
pub fn credentials(spec: &MongoSpec) -> Result<Option<Credentials>, Error> {
    Ok(spec.credentials_file()?.map(Credentials::read).transpose()?)
}
