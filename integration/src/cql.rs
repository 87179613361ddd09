//! CQL in raw bytes: values go out and come back as the server serialises them, decoded by nobody.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use scylla::{
    client::{execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder},
    deserialize::{
        DeserializationError, TypeCheckError,
        row::{ColumnIterator, DeserializeRow},
    },
    frame::response::result::ColumnSpec,
    policies::load_balancing::DefaultPolicy,
    serialize::{
        SerializationError,
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
    statement::Consistency,
};

use crate::cassandra::Login;

/// A bound value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// Not bound: the column stays as it is, a TTL is the table's default.
    Unset,
    /// Null.
    Null,
    /// These bytes.
    Bytes(Bytes),
}

impl Raw {
    /// A `bigint`, for example a write time.
    pub fn bigint(value: i64) -> Self {
        Self::Bytes(Bytes::copy_from_slice(&value.to_be_bytes()))
    }

    /// An `int`, for example a TTL.
    pub fn int(value: i32) -> Self {
        Self::Bytes(Bytes::copy_from_slice(&value.to_be_bytes()))
    }
}

impl From<&Bytes> for Raw {
    fn from(bytes: &Bytes) -> Self {
        Self::Bytes(bytes.clone())
    }
}

/// All bound values of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(pub Vec<Raw>);

impl SerializeRow for Values {
    fn serialize(&self, _: &RowSerializationContext<'_>, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        for value in &self.0 {
            let cell = writer.make_cell_writer();
            match value {
                Raw::Unset => cell.set_unset(),
                Raw::Null => cell.set_null(),
                Raw::Bytes(bytes) => cell.set_value(bytes).map_err(SerializationError::new)?,
            };
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A row as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRow(pub Vec<Option<Bytes>>);

impl<'frame, 'metadata> DeserializeRow<'frame, 'metadata> for RawRow {
    fn type_check(_: &[ColumnSpec<'_>]) -> Result<(), TypeCheckError> {
        Ok(())
    }

    fn deserialize(row: ColumnIterator<'frame, 'metadata>) -> Result<Self, DeserializationError> {
        let values = row.map(|column| column.map(|column| column.slice.map(|slice| slice.to_bytes())));
        values.collect::<Result<_, _>>().map(Self)
    }
}

/// Connects; statements run at `ALL` unless they say otherwise, and a partition's go to the same coordinator while the
/// same nodes are up.
///
/// # Errors
/// Where no contact point answers.
pub async fn connect(contact: &[String]) -> Result<Session> {
    connect_as(contact, None).await
}

/// The same with a role and its password.
///
/// # Errors
/// Where no contact point answers, or none lets the role in.
pub async fn connect_as(contact: &[String], login: Option<&Login>) -> Result<Session> {
    build(builder(contact, login), contact).await
}

/// As [`connect_as`], of a session that knows no schema: the driver gives up on one with a column of a Java type.
///
/// # Errors
/// As [`connect_as`].
pub async fn connect_without_schema(contact: &[String], login: Option<&Login>) -> Result<Session> {
    build(builder(contact, login).fetch_schema_metadata(false), contact).await
}

fn builder(contact: &[String], login: Option<&Login>) -> SessionBuilder {
    let policy = DefaultPolicy::builder().token_aware(true).enable_shuffling_replicas(false).build();
    let profile = ExecutionProfile::builder().consistency(Consistency::All).load_balancing_policy(policy);
    let profile = profile.request_timeout(Some(std::time::Duration::from_secs(60))).build();
    let builder = SessionBuilder::new().known_nodes(contact).default_execution_profile_handle(profile.into_handle());
    login.iter().fold(builder, |builder, login| builder.user(&login.role, &login.password))
}

async fn build(builder: SessionBuilder, contact: &[String]) -> Result<Session> {
    builder.build().await.with_context(|| format!("connect to {}", contact.join(", ")))
}

/// Runs statements one after another, for example a schema.
///
/// # Errors
/// Naming the statement that failed.
pub async fn run(session: &Session, statements: &[String]) -> Result<()> {
    for statement in statements {
        session.query_unpaged(statement.as_str(), ()).await.with_context(|| statement.clone())?;
    }
    Ok(())
}

/// Addresses of the replicas of a partition.
///
/// # Errors
/// Where the table is not known or the key does not fit it.
pub fn replicas(session: &Session, keyspace: &str, table: &str, partition: &[Bytes]) -> Result<Vec<String>> {
    let state = session.get_cluster_state();
    let key = Values(partition.iter().map(Raw::from).collect());
    let token = state.compute_token(keyspace, table, &key).with_context(|| format!("token in {keyspace}.{table}"))?;
    let endpoints = state.get_token_endpoints(keyspace, table, token);
    ensure!(!endpoints.is_empty(), "no replicas of {keyspace}.{table}");
    Ok(endpoints.iter().map(|(node, _)| node.address.ip().to_string()).collect())
}

/// A session that several tasks use.
pub type Shared = Arc<Session>;
