//! What an operator says about a Cassandra cluster: the JSON given at `source add`, and the destination of a restore.
//!
//! The specification holds no secret: credentials are named by file and read when a session is opened.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_listener_core::{
    shape,
    source::{ListenerSpec, Uses},
};

use crate::connect;

/// Name of the listener's binary.
pub const LISTENER_PROGRAM: &str = "tidemark-listener-cassandra";

/// A Cassandra cluster as the operator describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CassandraSpec {
    /// Contact points, `host:port` of native transports; at least one.
    pub contact: Vec<String>,
    /// `file:/absolute/path` of a file with the lines `username=…` and `password=…`; absent where the cluster asks for none.
    #[serde(default)]
    pub credentials: Option<String>,
    /// Nodes that listeners capture. Empty for a cluster that is only a destination.
    #[serde(default)]
    pub nodes: Vec<NodeSpec>,
}

/// One node that a listener captures, as seen from the listener's host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// `host:port` of its native transport.
    pub address: String,
    /// Its `data_file_directories`, absolute, all of them.
    pub data_directories: Vec<PathBuf>,
    /// Program and first arguments that reach the node's JMX port, for example `["nodetool", "-h", "127.0.0.1", "-p", "7199"]`.
    pub nodetool: Vec<String>,
}

/// What is wrong with a specification; the text names the field.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the JSON shape of a specification.
    #[error("the specification does not have the shape of a Cassandra source")]
    Shape(#[source] shape::Error),
    /// A list that must not be empty is.
    #[error("{field} is empty: {expected}")]
    Empty {
        /// The field, as a path.
        field: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// Not `host:port`.
    #[error("{field} {value:?} is not host:port with a port from 1 to 65535")]
    Address {
        /// The field, as a path.
        field: String,
        /// What stands there.
        value: String,
    },
    /// Not an absolute path.
    #[error("{field} {value:?} is not an absolute path")]
    Relative {
        /// The field, as a path.
        field: String,
        /// What stands there.
        value: String,
    },
    /// Credentials in another form than `file:/absolute/path`.
    #[error("credentials are not given as file:/absolute/path")]
    Credentials,
    /// Two nodes with one address, or with addresses that lead to one listener id.
    #[error("nodes[{index}].address {address:?} is named twice")]
    Twice {
        /// Place in the list, from 0.
        index: usize,
        /// The address.
        address: String,
    },
    /// A password among the arguments of nodetool.
    #[error(
        "{field} holds a password, which every user of the host could read in the list of processes; use -pwf FILE"
    )]
    Password {
        /// The field, as a path.
        field: String,
    },
}

impl CassandraSpec {
    /// The validated specification in `value`.
    ///
    /// # Errors
    /// [`Error::Shape`] where a field is missing, unknown or of another type; else as [`CassandraSpec::validate`].
    pub fn parse(value: &Value) -> Result<Self, Error> {
        let spec: Self = shape::read(value).map_err(Error::Shape)?;
        spec.validate()?;
        Ok(spec)
    }

    /// Checks every field, without any I/O.
    ///
    /// # Errors
    /// The first [`Error`], in the order of the fields.
    pub fn validate(&self) -> Result<(), Error> {
        if self.contact.is_empty() {
            return Err(Error::Empty { field: "contact".into(), expected: "at least one host:port" });
        }
        for (i, address) in self.contact.iter().enumerate() {
            check_address(&format!("contact[{i}]"), address)?;
        }
        self.credentials_file()?;
        let mut ids = BTreeSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            node.validate(&format!("nodes[{index}]"))?;
            if !ids.insert(node.listener_id()) {
                return Err(Error::Twice { index, address: node.address.clone() });
            }
        }
        Ok(())
    }

    /// What it names on the host: `nodetool`, files with credentials, the nodes' data; and the nodes that it connects to.
    pub fn uses(&self) -> Uses {
        let programs: BTreeSet<&Vec<String>> = self.nodes.iter().map(|node| &node.nodetool).collect();
        let own = self.credentials_file().ok().flatten().map(Path::to_owned);
        let passwords = programs.iter().flat_map(|words| password_files(words));
        let credentials: BTreeSet<PathBuf> = own.into_iter().chain(passwords).collect();
        let data: BTreeSet<&PathBuf> = self.nodes.iter().flat_map(|node| &node.data_directories).collect();
        let addresses: BTreeSet<&String> =
            self.contact.iter().chain(self.nodes.iter().map(|node| &node.address)).collect();
        Uses {
            programs: programs.into_iter().cloned().collect(),
            credentials: credentials.into_iter().collect(),
            data: data.into_iter().cloned().collect(),
            addresses: addresses.into_iter().cloned().collect(),
        }
    }

    /// The file that holds the credentials, where there is one.
    ///
    /// # Errors
    /// [`Error::Credentials`] unless they are given as `file:/absolute/path`.
    pub fn credentials_file(&self) -> Result<Option<&Path>, Error> {
        let Some(text) = &self.credentials else { return Ok(None) };
        let path = text.strip_prefix("file:").map(Path::new).filter(|path| path.is_absolute());
        path.map(Some).ok_or(Error::Credentials)
    }
}

impl NodeSpec {
    /// Id of the node's listener: its address with everything but letters and digits turned into `-`, lower case.
    pub fn listener_id(&self) -> String {
        let safe = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let id: String = self.address.chars().map(safe).collect();
        id.trim_matches('-').to_owned()
    }

    fn validate(&self, field: &str) -> Result<(), Error> {
        check_address(&format!("{field}.address"), &self.address)?;
        if self.data_directories.is_empty() {
            let field = format!("{field}.data_directories");
            return Err(Error::Empty { field, expected: "the data_file_directories of cassandra.yaml" });
        }
        for (i, directory) in self.data_directories.iter().enumerate() {
            check_absolute(&format!("{field}.data_directories[{i}]"), directory)?;
        }
        check_nodetool(&format!("{field}.nodetool"), &self.nodetool)
    }
}

fn check_absolute(field: &str, path: &Path) -> Result<(), Error> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(Error::Relative { field: field.to_owned(), value: path.display().to_string() })
}

/// Refuses what is not `host:port`; IPv6 hosts stand in brackets.
fn check_address(field: &str, address: &str) -> Result<(), Error> {
    let valid = address.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let host_ok = !host.is_empty() && (bracketed || !host.contains(':')) && !host.contains(char::is_whitespace);
        host_ok && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if valid { Ok(()) } else { Err(Error::Address { field: field.to_owned(), value: address.to_owned() }) }
}

fn check_nodetool(field: &str, words: &[String]) -> Result<(), Error> {
    if words.first().is_none_or(|program| program.is_empty()) {
        return Err(Error::Empty {
            field: field.to_owned(),
            expected: "nodetool and the arguments that reach the node",
        });
    }
    if words.iter().any(|word| gives_password(word)) {
        Err(Error::Password { field: field.to_owned() })
    } else {
        Ok(())
    }
}

/// True of a word that holds nodetool's option for a password, in whatever way its value is joined to it; also one within a
/// script for a shell. Options that name a file with it are none.
fn gives_password(word: &str) -> bool {
    let parts = word.split(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | ';' | '&' | '|' | '(' | ')'));
    let names_file = |part: &str| matches!(part.split('=').next(), Some("-pwf" | "--password-file"));
    parts.into_iter().any(|part| (part.starts_with("-pw") || part.starts_with("--password")) && !names_file(part))
}

/// Files with passwords among the arguments of nodetool.
fn password_files(words: &[String]) -> Vec<PathBuf> {
    let joined = words.iter().filter_map(|word| word.strip_prefix("--password-file=").or(word.strip_prefix("-pwf=")));
    let apart = words.windows(2).filter(|pair| pair[0] == "-pwf" || pair[0] == "--password-file");
    joined.chain(apart.map(|pair| pair[1].as_str())).map(PathBuf::from).collect()
}

/// How to start one listener for each node of `spec`.
///
/// # Errors
/// [`connect::Error`] where the credentials file cannot be read.
pub fn listener_specs(spec: &CassandraSpec) -> Result<Vec<ListenerSpec>, connect::Error> {
    let secrets = match connect::credentials(spec)? {
        Some(credentials) => credentials.environment(connect::VARIABLES),
        None => Vec::new(),
    };
    Ok(spec.nodes.iter().map(|node| listener_spec(node, secrets.clone())).collect())
}

/// What `nodetool` reads of its environment, beside what every program does.
pub(crate) const NODETOOL_VARIABLES: [&str; 4] = ["JAVA_HOME", "CASSANDRA_HOME", "CASSANDRA_CONF", "CASSANDRA_INCLUDE"];

fn listener_spec(node: &NodeSpec, secret_environment: Vec<(String, String)>) -> ListenerSpec {
    let mut arguments = vec!["--address".to_owned(), node.address.clone()];
    for directory in &node.data_directories {
        arguments.extend(["--data-directory".to_owned(), directory.display().to_string()]);
    }
    arguments.extend(["--nodetool".to_owned(), Value::from(node.nodetool.clone()).to_string()]);
    ListenerSpec {
        id: node.listener_id(),
        program: LISTENER_PROGRAM.to_owned(),
        arguments,
        secret_environment,
        inherited: &NODETOOL_VARIABLES,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({
            "contact": ["127.0.0.1:9042", "[::1]:9042"],
            "credentials": "file:/etc/tidemark/cassandra",
            "nodes": [{ "address": "db-1.example:9042", "data_directories": ["/data/a"], "nodetool": ["nodetool", "-p", "7199"] }]
        })
    }

    fn with(pointer: &str, value: Value) -> String {
        let mut spec = good();
        *spec.pointer_mut(pointer).expect("the pointer names a field") = value;
        CassandraSpec::parse(&spec).expect_err("the value is wrong").to_string()
    }

    #[test]
    fn a_whole_specification_is_taken() {
        let spec = CassandraSpec::parse(&good()).unwrap();
        assert_eq!(spec.credentials_file().unwrap(), Some(Path::new("/etc/tidemark/cassandra")));
        assert_eq!(serde_json::to_value(&spec).unwrap(), good());
    }

    #[test]
    fn a_destination_needs_contact_points_only() {
        let spec = CassandraSpec::parse(&json!({ "contact": ["127.0.0.1:9042"] })).unwrap();
        assert!(spec.nodes.is_empty() && spec.credentials.is_none());
        assert!(listener_specs(&spec).unwrap().is_empty());
    }

    #[test]
    fn errors_name_the_field() {
        let table = [
            ("/contact", json!([]), "contact is empty"),
            ("/contact/0", json!("127.0.0.1"), "contact[0]"),
            ("/contact/1", json!("::1:9042"), "contact[1]"),
            ("/credentials", json!("secret"), "credentials"),
            ("/nodes/0/address", json!("host:0"), "nodes[0].address"),
            ("/nodes/0/data_directories", json!([]), "nodes[0].data_directories is empty"),
            ("/nodes/0/data_directories/0", json!("data"), "nodes[0].data_directories[0]"),
            ("/nodes/0/nodetool", json!([]), "nodes[0].nodetool is empty"),
            ("/nodes/0/nodetool/1", json!("-pw"), "nodes[0].nodetool holds a password"),
        ];
        for (pointer, value, expected) in table {
            let message = with(pointer, value);
            assert!(message.contains(expected), "{pointer}: {message}");
        }
    }

    #[test]
    fn unknown_fields_are_refused() {
        let message =
            with("/nodes/0", json!({ "address": "a:1", "data_directories": ["/d"], "nodetool": ["n"], "x": 1 }));
        assert!(message.contains("shape"), "{message}");
    }

    #[test]
    fn what_it_names_on_the_host_is_told_once() {
        let mut spec = CassandraSpec::parse(&good()).unwrap();
        let words = ["nodetool", "-pwf", "/etc/jmx", "--password-file=/etc/jmx2"].map(str::to_owned).to_vec();
        spec.nodes.push(NodeSpec { address: "db-2:9042".into(), nodetool: words.clone(), ..spec.nodes[0].clone() });
        spec.nodes.push(NodeSpec { address: "db-3:9042".into(), ..spec.nodes[1].clone() });
        let uses = spec.uses();
        assert_eq!(uses.programs, [["nodetool", "-p", "7199"].map(str::to_owned).to_vec(), words]);
        let credentials = ["/etc/jmx", "/etc/jmx2", "/etc/tidemark/cassandra"].map(PathBuf::from);
        assert_eq!((uses.credentials, uses.data), (credentials.to_vec(), vec![PathBuf::from("/data/a")]));
    }

    #[test]
    fn a_password_is_refused_however_it_is_given_and_a_file_with_one_is_not() {
        let given = [
            "-pw",
            "-pw=secret",
            "-pwsecret",
            "--password",
            "--password=secret",
            "nodetool -u a -pw secret",
            "exec nodetool '-pw=x'",
            "--password-of=x",
            "(nodetool --password x)",
        ];
        for word in given {
            let error = check_nodetool("nodetool", &["sh".to_owned(), word.to_owned()]).unwrap_err();
            assert!(
                matches!(&error, Error::Password { .. }) && !error.to_string().contains("secret"),
                "{word}: {error}"
            );
        }
        for word in [
            "-pwf",
            "-pwf=/etc/jmx",
            "--password-file",
            "--password-file=/etc/jmx",
            "-p",
            "nodetool -pwf /etc/jmx",
            "-h",
        ] {
            check_nodetool("nodetool", &["sh".to_owned(), word.to_owned()]).unwrap();
        }
    }

    #[test]
    fn one_node_cannot_be_named_twice() {
        let mut spec = CassandraSpec::parse(&good()).unwrap();
        spec.nodes.push(NodeSpec { address: "DB-1.example:9042".into(), ..spec.nodes[0].clone() });
        assert!(matches!(spec.validate(), Err(Error::Twice { index: 1, .. })));
    }

    #[test]
    fn a_listener_is_told_its_node() {
        let spec = CassandraSpec { credentials: None, ..CassandraSpec::parse(&good()).unwrap() };
        let listeners = listener_specs(&spec).unwrap();
        assert_eq!(listeners[0].id, "db-1-example-9042");
        let expected = ["--address", "db-1.example:9042", "--data-directory", "/data/a", "--nodetool"];
        assert_eq!(listeners[0].arguments[..5], expected);
        assert_eq!(listeners[0].arguments[5], r#"["nodetool","-p","7199"]"#);
        assert!(listeners[0].secret_environment.is_empty());
    }
}
