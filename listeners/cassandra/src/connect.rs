//! Sessions with Cassandra, raw values in and out, and which errors are worth another try.
//!
//! A listener talks to exactly one node ([`connect_node`]): what a node says about itself must come from that node. A restore
//! and a preflight talk to the whole cluster ([`connect`]).

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use scylla::{
    client::{PoolSize, execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder},
    cluster::metadata::Peer,
    deserialize::{
        DeserializationError, TypeCheckError,
        row::{ColumnIterator, DeserializeRow},
    },
    errors::NewSessionError,
    frame::{
        response::result::{ColumnSpec, ColumnType},
        types::Consistency,
    },
    policies::host_filter::HostFilter,
    serialize::{
        SerializationError,
        value::SerializeValue,
        writers::{CellWriter, WrittenCellProof},
    },
};

use tidemark_listener_core::credentials;

use crate::spec::CassandraSpec;

mod answer;
mod cause;
mod retryable;

pub use answer::{collect, error};
pub use cause::{Cause, Caused};
pub use retryable::Retryable;
pub use tidemark_listener_core::credentials::Credentials;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for the answer to one request, retries included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Tries to make a session with a node that forgets the driver's statements before they are executed.
const EVICTED_TRIES: u32 = 10;

/// Environment variable of a listener with the name of the Cassandra role.
pub const USERNAME_VARIABLE: &str = "TIDEMARK_CASSANDRA_USERNAME";

/// Environment variable of a listener with the password of the Cassandra role.
pub const PASSWORD_VARIABLE: &str = "TIDEMARK_CASSANDRA_PASSWORD";

/// Both.
pub const VARIABLES: [&str; 2] = [USERNAME_VARIABLE, PASSWORD_VARIABLE];

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    /// The specification does not name a credentials file as it should.
    #[error("credentials of the specification")]
    Spec(#[from] crate::spec::Error),
    /// The host name leads nowhere.
    #[error("resolve {address}")]
    Resolve {
        /// `host:port`.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// No contact point let us in.
    #[error("connect to Cassandra at {address}")]
    Connect {
        /// Contact points.
        address: String,
        /// Why.
        source: Box<NewSessionError>,
    },
    /// The driver could not read the cluster's state again.
    #[error("read the state of the cluster again")]
    Refresh(#[source] Box<scylla::errors::MetadataError>),
    /// The driver does not know a keyspace: it does not exist, or its schema holds what the driver cannot read.
    #[error("keyspace {keyspace} is not known to the driver")]
    UnknownKeyspace {
        /// Its name.
        keyspace: String,
    },
}

impl Error {
    /// True where the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Resolve { .. } => true,
            Self::Connect { source, .. } => source.is_retryable(),
            Self::Refresh(source) => source.is_retryable(),
            Self::Credentials(_) | Self::Spec(_) | Self::UnknownKeyspace { .. } => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Credentials(_) | Self::Spec(_) => "correct the credentials file that the specification names",
            Self::Resolve { .. } => "correct the host name, or see to its name service",
            Self::Connect { source, .. } => source.cause().hint(),
            Self::Refresh(source) => source.cause().hint(),
            Self::UnknownKeyspace { .. } => "see whether somebody dropped the keyspace",
        }
    }
}

/// The credentials that `spec` names, read from their file.
///
/// # Errors
/// [`Error::Credentials`], [`Error::Spec`].
pub fn credentials(spec: &CassandraSpec) -> Result<Option<Credentials>, Error> {
    Ok(spec.credentials_file()?.map(Credentials::read).transpose()?)
}

/// A session with the whole cluster. The driver reads the replication of `keyspaces` and routes by it; with an empty list it
/// reads none, and prepared statements are not routed by token. Columns and types it never reads: it fails on names that need
/// quotes, with all of its metadata. Requests run at LOCAL_QUORUM unless they say otherwise.
///
/// A keyspace that does not exist yet may be named: [`refresh`] finds it once it is there.
///
/// # Errors
/// [`Error`] where credentials cannot be read or no contact point lets us in.
pub async fn connect(spec: &CassandraSpec, keyspaces: &BTreeSet<String>) -> Result<Session, Error> {
    let credentials = credentials(spec)?;
    let builder = builder(credentials.as_ref(), Consistency::LocalQuorum).known_nodes(&spec.contact);
    let builder = match keyspaces.is_empty() {
        // To the driver an empty list means every keyspace, and one unreadable keyspace would then hide all others.
        true => builder.fetch_schema_metadata(false),
        false => builder.keyspaces_to_fetch(keyspaces.iter().map(String::as_str)),
    };
    let address = spec.contact.join(", ");
    build(builder).await.map_err(|source| Error::Connect { address, source: Box::new(source) })
}

/// Makes a session. The driver prepares what it asks of a node; where the node's cache is full of statements in use, a new one
/// is evicted at once, until it was asked for often enough.
async fn build(builder: SessionBuilder) -> Result<Session, NewSessionError> {
    let mut tries = 1;
    loop {
        match builder.build().await {
            Err(error) if error.cause() == Cause::Evicted && tries < EVICTED_TRIES => tries += 1,
            done => return done,
        }
    }
}

/// Reads the state of the cluster again and proves that the driver knows `keyspaces`, so that it routes by token.
///
/// # Errors
/// [`Error::Refresh`]; [`Error::UnknownKeyspace`] for the first keyspace that the driver does not know.
pub async fn refresh(session: &Session, keyspaces: &BTreeSet<String>) -> Result<(), Error> {
    session.refresh_metadata().await.map_err(|source| Error::Refresh(Box::new(source)))?;
    let state = session.get_cluster_state();
    let unknown = keyspaces.iter().find(|keyspace| state.get_keyspace(keyspace.as_str()).is_none());
    unknown.map_or(Ok(()), |keyspace| Err(Error::UnknownKeyspace { keyspace: keyspace.clone() }))
}

/// A session with the one node at `address` (`host:port`), which never falls over to another node: while the node is down,
/// requests fail. It knows no schema. Requests run at ONE.
///
/// # Errors
/// [`Error::Resolve`], [`Error::Connect`].
pub async fn connect_node(address: &str, credentials: Option<&Credentials>) -> Result<Session, Error> {
    let resolve = |source| Error::Resolve { address: address.to_owned(), source };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(address).await.map_err(resolve)?.collect();
    let builder = builder(credentials, Consistency::One)
        .known_nodes_addr(addresses.iter().copied())
        .host_filter(Arc::new(OnlyNode { addresses }))
        .fetch_schema_metadata(false);
    build(builder).await.map_err(|source| Error::Connect { address: address.to_owned(), source: Box::new(source) })
}

fn builder(credentials: Option<&Credentials>, consistency: Consistency) -> SessionBuilder {
    let profile = ExecutionProfile::builder().consistency(consistency).request_timeout(Some(REQUEST_TIMEOUT)).build();
    let builder = SessionBuilder::new()
        .connection_timeout(CONNECT_TIMEOUT)
        .pool_size(PoolSize::PerHost(std::num::NonZeroUsize::MIN))
        .fetch_full_schema_metadata(false)
        .default_execution_profile_handle(profile.into_handle());
    match credentials {
        Some(credentials) => builder.user(credentials.username(), credentials.password()),
        None => builder,
    }
}

/// Lets the driver see one node only.
struct OnlyNode {
    addresses: Vec<SocketAddr>,
}

impl HostFilter for OnlyNode {
    fn accept(&self, peer: &Peer) -> bool {
        self.addresses.contains(&SocketAddr::new(peer.address.ip(), peer.address.port()))
    }
}

/// A bound value in Cassandra's own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// Leaves the column as it is.
    Unset,
    /// Deletes the column.
    Null,
    /// The serialised value, possibly empty.
    Bytes(Bytes),
}

impl SerializeValue for Raw {
    fn serialize<'b>(
        &self,
        _: &ColumnType,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, SerializationError> {
        Ok(match self {
            Self::Unset => writer.set_unset(),
            Self::Null => writer.set_null(),
            Self::Bytes(bytes) => writer.set_value(bytes).map_err(SerializationError::new)?,
        })
    }
}

/// A row in Cassandra's own bytes, column by column; `None` is null. The bytes are slices of the answer's frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Out(pub Vec<Option<Bytes>>);

impl<'frame, 'metadata> DeserializeRow<'frame, 'metadata> for Out {
    fn type_check(_: &[ColumnSpec]) -> Result<(), TypeCheckError> {
        Ok(())
    }

    fn deserialize(row: ColumnIterator<'frame, 'metadata>) -> Result<Self, DeserializationError> {
        row.map(|column| Ok(column?.slice.map(|slice| slice.to_bytes()))).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn spec(path: &Path) -> CassandraSpec {
        CassandraSpec {
            contact: vec!["127.0.0.1:9042".into()],
            credentials: Some(format!("file:{}", path.display())),
            nodes: Vec::new(),
        }
    }

    #[test]
    fn an_unreadable_file_is_an_error_and_not_an_anonymous_login() {
        let error = credentials(&spec(Path::new("/nowhere/credentials"))).unwrap_err();
        assert!(matches!(error, Error::Credentials(_)) && !error.is_retryable());
    }
}
