//! Whether a server is of the replica set that a specification names. A server of another one answers as readily, and
//! holds other data.

use tidemark_listener_core::failure::Failure;

use crate::{
    codes::{CONNECT, OTHER_SET},
    connect::Server,
    describe::{self, Hello},
    spec::MongoSpec,
};

/// A server of another set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Other {
    /// Of another one than is named.
    #[error("it is a member of replica set {found}, not of {named}")]
    Set {
        /// Its set.
        found: String,
        /// That of the specification.
        named: String,
    },
    /// Of none.
    #[error("it is no member of replica set {named}: it is of none")]
    None {
        /// That of the specification.
        named: String,
    },
    /// The specification names none.
    #[error("it is a member of replica set {found}, which the specification does not name")]
    Unnamed {
        /// Its set.
        found: String,
    },
}

impl Other {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Set { .. } | Self::None { .. } => "see which server answers at this address",
            Self::Unnamed { .. } => "name the set as replica_set",
        }
    }
}

/// Compares what a server says with the specification.
///
/// # Errors
/// [`Other`].
pub fn check(spec: &MongoSpec, hello: &Hello) -> Result<(), Other> {
    match (&spec.replica_set, &hello.set) {
        (Some(named), Some(found)) if named != found => Err(Other::Set { found: found.clone(), named: named.clone() }),
        (Some(named), None) => Err(Other::None { named: named.clone() }),
        (None, Some(found)) => Err(Other::Unnamed { found: found.clone() }),
        _ => Ok(()),
    }
}

/// Asks the server.
///
/// # Errors
/// `TM-MONGO-0006` where it is of another set, `TM-MONGO-0002` where it does not answer.
pub async fn prove(server: &Server, spec: &MongoSpec) -> Result<(), Failure> {
    let hello = describe::hello(server).await.map_err(|error| error.coded(CONNECT))?;
    check(spec, &hello)
        .map_err(|other| Failure::new(OTHER_SET, format!("{}: {other}", server.place())).with_hint(other.hint()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_members_of_the_set_that_is_named_are_taken() {
        let said = |named: Option<&str>, found: Option<&str>| {
            let spec = json!({"hosts": ["a:1"], "replica_set": named});
            let set = found.map(str::to_owned);
            let hello = Hello { set, routes: false, time: None, local_millis: None };
            check(&MongoSpec::parse(&spec).unwrap(), &hello).map_err(|other| other.to_string())
        };
        assert_eq!([said(Some("a"), Some("a")), said(None, None)], [Ok(()), Ok(())]);
        for (wrong, word) in [
            (said(Some("a"), Some("b")), "replica set b, not of a"),
            (said(Some("a"), None), "of none"),
            (said(None, Some("b")), "does not name"),
        ] {
            let words = wrong.unwrap_err();
            assert!(words.contains(word), "{words}");
        }
    }
}
