//! What an operator says about a MongoDB deployment: the JSON given at `source add`, and the destination of a restore.
//!
//! The specification holds no secret: credentials and keys are named by file and read when a connection is opened.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidemark_listener_core::{
    shape,
    source::{ListenerSpec, Uses},
};

use crate::{connect, event::Namespace};

/// Name of the listener's binary.
pub const LISTENER_PROGRAM: &str = "tidemark-listener-mongodb";

/// Id of the one listener of a source without `members`.
pub const WHOLE: &str = "set";

/// A deployment as the operator describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MongoSpec {
    /// Members of the replica set, or mongos, `host:port`; at least one.
    pub hosts: Vec<String>,
    /// Name of the replica set; absent for mongos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_set: Option<String>,
    /// `file:/absolute/path` of a file with the lines `username=…` and `password=…`; absent where nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// How the credentials are shown; the driver's choice where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// TLS; none where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Members that listeners capture, one each, `host:port`: any of them holds everything. Where empty, one listener
    /// captures through all hosts, from secondaries where it can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// A collection, `database.collection`, that listeners may write one document to, so that an idle deployment gives
    /// events. Nothing is written where it is absent. It is not captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<String>,
}

/// How credentials are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// `SCRAM-SHA-256`, `SCRAM-SHA-1`, `MONGODB-X509` or `PLAIN`.
    pub mechanism: String,
    /// Database that knows the user; the mechanism's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// TLS of connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// File of certificates that are trusted, PEM, absolute; those of Mozilla where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// File of our certificate and its key, PEM, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
}

/// Mechanisms that the driver is built with.
pub const MECHANISMS: [&str; 4] = ["SCRAM-SHA-256", "SCRAM-SHA-1", "MONGODB-X509", "PLAIN"];

/// What is wrong with a specification; the text names the field.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the JSON shape of a specification.
    #[error("the specification does not have the shape of a MongoDB source")]
    Shape(#[source] shape::Error),
    /// An address with a user or a password in it; it is not shown.
    #[error(
        "{field}: an address holds no user and no password: name members as host:port, and credentials by reference, \
         file:/absolute/path"
    )]
    Secret {
        /// The field, as a path.
        field: String,
    },
    /// A field's value is not what it should be.
    #[error("{field} {value:?}: {expected}")]
    Value {
        /// The field, as a path.
        field: String,
        /// What stands there.
        value: String,
        /// What should.
        expected: &'static str,
    },
}

impl MongoSpec {
    /// The validated specification in `value`.
    ///
    /// # Errors
    /// [`Error`] naming the first field that is wrong.
    pub fn parse(value: &Value) -> Result<Self, Error> {
        // What follows shows values.
        refuse_secrets("", value)?;
        let spec: Self = shape::read(value).map_err(Error::Shape)?;
        spec.validate()?;
        Ok(spec)
    }

    /// Checks every field, without any I/O.
    ///
    /// # Errors
    /// The first [`Error::Value`], in the order of the fields.
    pub fn validate(&self) -> Result<(), Error> {
        if self.hosts.is_empty() {
            return Err(wrong("hosts", "[]", "at least one host:port"));
        }
        for (field, list) in [("hosts", &self.hosts), ("members", &self.members)] {
            for (index, address) in list.iter().enumerate() {
                check_address(&format!("{field}[{index}]"), address)?;
            }
        }
        let empty = self.replica_set.as_ref().filter(|name| name.is_empty());
        empty.map_or(Ok(()), |name| Err(wrong("replica_set", name, "a name, or leave it out")))?;
        self.credentials_file()?;
        self.check_auth()?;
        for (field, path) in self.tls_files() {
            if !path.is_absolute() {
                return Err(wrong(field, &path.display().to_string(), "an absolute path"));
            }
        }
        let mut ids = BTreeSet::new();
        let twice = self.members.iter().enumerate().find(|(_, member)| !ids.insert(member_id(member)));
        twice
            .map_or(Ok(()), |(index, member)| Err(wrong(&format!("members[{index}]"), member, "it is named twice")))?;
        self.heartbeat().map(drop)
    }

    fn check_auth(&self) -> Result<(), Error> {
        let Some(auth) = &self.auth else { return Ok(()) };
        if !MECHANISMS.contains(&auth.mechanism.as_str()) {
            let expected = "SCRAM-SHA-256, SCRAM-SHA-1, MONGODB-X509 or PLAIN";
            return Err(wrong("auth.mechanism", &auth.mechanism, expected));
        }
        let certificate = self.tls.as_ref().is_some_and(|tls| tls.certificate.is_some());
        if auth.mechanism == "MONGODB-X509" && !certificate {
            return Err(wrong("auth.mechanism", &auth.mechanism, "it needs tls.certificate"));
        }
        Ok(())
    }

    fn tls_files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let tls = self.tls.iter();
        tls.flat_map(|tls| [("tls.ca", tls.ca.as_deref()), ("tls.certificate", tls.certificate.as_deref())])
            .filter_map(|(field, path)| Some((field, path?)))
    }

    /// The file that holds the credentials, where there is one.
    ///
    /// # Errors
    /// [`Error::Value`] unless they are given as `file:/absolute/path`; the value is not shown, because it may be a
    /// secret.
    pub fn credentials_file(&self) -> Result<Option<&Path>, Error> {
        let Some(text) = &self.credentials else { return Ok(None) };
        let path = text.strip_prefix("file:").map(Path::new).filter(|path| path.is_absolute());
        path.map(Some).ok_or_else(|| wrong("credentials", "***", "file:/absolute/path"))
    }

    /// The collection that listeners may write to.
    ///
    /// # Errors
    /// [`Error::Value`] unless it is `database.collection`.
    pub fn heartbeat(&self) -> Result<Option<Namespace>, Error> {
        let Some(text) = &self.heartbeat else { return Ok(None) };
        let parts =
            text.split_once('.').filter(|(database, collection)| !database.is_empty() && !collection.is_empty());
        let (database, collection) = parts.ok_or_else(|| wrong("heartbeat", text, "database.collection"))?;
        Ok(Some(Namespace { database: database.to_owned(), collection: collection.to_owned() }))
    }

    /// What it names on the host, and the servers that it connects to.
    pub fn uses(&self) -> Uses {
        let own = self.credentials_file().ok().flatten();
        let credentials: BTreeSet<PathBuf> =
            own.into_iter().chain(self.tls_files().map(|(_, p)| p)).map(Path::to_owned).collect();
        let addresses: BTreeSet<&String> = self.hosts.iter().chain(&self.members).collect();
        Uses {
            programs: Vec::new(),
            credentials: credentials.into_iter().collect(),
            data: Vec::new(),
            addresses: addresses.into_iter().cloned().collect(),
        }
    }

    /// The deployment, for people.
    pub fn place(&self) -> String {
        self.hosts.join(", ")
    }

    /// How to start its listeners: one for each of `members`, or one.
    ///
    /// # Errors
    /// [`connect::Error`] where the credentials cannot be read.
    pub fn listeners(&self) -> Result<Vec<ListenerSpec>, connect::Error> {
        let secret_environment =
            connect::credentials(self)?.map(|own| own.environment(connect::VARIABLES)).unwrap_or_default();
        let bare = json!(Self { credentials: None, ..self.clone() }).to_string();
        let listener = |id: String, member: Option<&String>| ListenerSpec {
            id,
            program: LISTENER_PROGRAM.to_owned(),
            arguments: ["--specification".to_owned(), bare.clone()]
                .into_iter()
                .chain(member.into_iter().flat_map(|member| ["--member".to_owned(), member.clone()]))
                .collect(),
            secret_environment: secret_environment.clone(),
            inherited: &[],
        };
        Ok(match self.members.is_empty() {
            true => vec![listener(WHOLE.to_owned(), None)],
            false => self.members.iter().map(|member| listener(member_id(member), Some(member))).collect(),
        })
    }
}

/// Id of a member's listener and partition: its address with everything but letters and digits turned into `-`, lower
/// case.
pub fn member_id(address: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    address.chars().map(safe).collect::<String>().trim_matches('-').to_owned()
}

fn wrong(field: &str, value: &str, expected: &'static str) -> Error {
    Error::Value { field: field.to_owned(), value: value.to_owned(), expected }
}

/// Refuses an address with a user in it, wherever it stands.
fn refuse_secrets(field: &str, value: &Value) -> Result<(), Error> {
    match value {
        Value::String(text) if !is_path(field) && has_user(text) => Err(Error::Secret { field: field.to_owned() }),
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| refuse_secrets(&format!("{field}[{index}]"), item))
        }
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let field = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
            refuse_secrets(&field, value)
        }),
        _ => Ok(()),
    }
}

/// True of fields that name a file.
fn is_path(field: &str) -> bool {
    ["credentials", "tls.ca", "tls.certificate"].contains(&field)
}

/// True of a text that has something before an `@`, or an address with options behind a `?`, which may be a password too.
fn has_user(text: &str) -> bool {
    text.contains('@') || text.contains("://") && text.contains('?')
}

/// Refuses what is not `host:port`; IPv6 hosts stand in brackets.
fn check_address(field: &str, address: &str) -> Result<(), Error> {
    let valid = address.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let plain = |c: char| !(c.is_whitespace() || matches!(c, '@' | '/' | '?' | ','));
        let host_ok = !host.is_empty() && (bracketed || !host.contains(':')) && host.chars().all(plain);
        host_ok && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if valid { Ok(()) } else { Err(wrong(field, address, "host:port with a port from 1 to 65535")) }
}

#[cfg(test)]
mod tests;
