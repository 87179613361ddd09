//! Settings of a daemon that shares its state with others.

use super::{ConfigError, NODE, RawConfig, Roles};
use crate::coordinator::etcd::{Access, Config};

/// Longest name of a node or a cluster.
const LONGEST_NAME: usize = 63;

impl RawConfig {
    /// Checks each of these settings that is given.
    pub(super) fn check_cluster(&self) -> Result<(), ConfigError> {
        name("cluster", &self.cluster)?;
        self.coordinator.iter().try_for_each(|endpoint| address(endpoint))?;
        self.roles().map(drop)
    }

    /// The etcd of the cluster; `None` for a daemon of its own.
    pub(super) fn etcd(&self) -> Result<Option<Config>, ConfigError> {
        if self.coordinator.is_empty() {
            return Ok(None);
        }
        // Daemons of one name would be taken for one.
        if self.node == NODE {
            return Err(ConfigError::Missing { name: "node" });
        }
        name("node", &self.node)?;
        let identity = match (&self.coordinator_cert, &self.coordinator_key) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::Missing { name: "coordinator_key" }),
            (None, Some(_)) => return Err(ConfigError::Missing { name: "coordinator_cert" }),
        };
        if self.coordinator_ca.is_none() && self.coordinator.iter().any(|endpoint| endpoint.starts_with("https://")) {
            return Err(ConfigError::Missing { name: "coordinator_ca" });
        }
        let access = Access { ca: self.coordinator_ca.clone(), identity, user: self.coordinator_user_file.clone() };
        let (endpoints, cluster, node) = (self.coordinator.clone(), self.cluster.clone(), self.node.clone());
        Ok(Some(Config { endpoints, access, cluster, node }))
    }

    pub(super) fn roles(&self) -> Result<Roles, ConfigError> {
        let wrong = |value: &str| ConfigError::Text {
            name: "roles",
            value: value.chars().take(80).collect(),
            wanted: "control, worker or both",
        };
        let mut roles = Roles { control: false, worker: false };
        for role in &self.roles {
            match role.as_str() {
                "control" => roles.control = true,
                "worker" => roles.worker = true,
                other => return Err(wrong(other)),
            }
        }
        if roles.control || roles.worker { Ok(roles) } else { Err(wrong("")) }
    }
}

/// Members of etcd are reached by TLS, or on this host.
fn address(endpoint: &str) -> Result<(), ConfigError> {
    let wrong = || ConfigError::Text {
        name: "coordinator",
        value: endpoint.chars().take(80).collect(),
        wanted: "https://host:port, or http://ip:port of this host",
    };
    let has_port = |place: &str| {
        place.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if endpoint.strip_prefix("https://").is_some_and(has_port) {
        return Ok(());
    }
    let plain: Option<std::net::SocketAddr> = endpoint.strip_prefix("http://").and_then(|place| place.parse().ok());
    if plain.is_some_and(|address| address.ip().is_loopback()) { Ok(()) } else { Err(wrong()) }
}

fn name(setting: &'static str, value: &str) -> Result<(), ConfigError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=LONGEST_NAME).contains(&value.len()) && value.bytes().all(good) {
        return Ok(());
    }
    let wanted = "1 to 63 of letters, digits, '-', '_' and '.'";
    Err(ConfigError::Text { name: setting, value: value.chars().take(80).collect(), wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(coordinator: &str) -> RawConfig {
        RawConfig {
            state: "/state".into(),
            token_file: "/token".into(),
            coordinator: vec![coordinator.to_owned()],
            coordinator_ca: Some("/ca".into()),
            node: "a".to_owned(),
            ..RawConfig::default()
        }
    }

    #[test]
    fn a_cluster_needs_names_and_members_that_are_reached_by_tls_or_on_this_host() {
        for good in ["https://etcd-1:2379", "https://10.0.0.1:2379", "http://127.0.0.1:2379", "http://[::1]:2379"] {
            assert!(raw(good).validate().is_ok(), "{good}");
        }
        for bad in ["http://10.0.0.1:2379", "http://localhost:2379", "https://etcd-1", "etcd-1:2379", ""] {
            let wrong = raw(bad).validate().unwrap_err();
            assert!(matches!(wrong, ConfigError::Text { name: "coordinator", .. }), "{bad}: {wrong}");
        }
        let good = "https://e:1";
        let missing = |raw: RawConfig| match raw.validate().unwrap_err() {
            ConfigError::Missing { name } | ConfigError::Text { name, .. } => name,
            other => panic!("{other}"),
        };
        assert_eq!(missing(RawConfig { node: NODE.to_owned(), ..raw(good) }), "node");
        assert_eq!(missing(RawConfig { node: "a/b".to_owned(), ..raw(good) }), "node");
        assert_eq!(missing(RawConfig { cluster: String::new(), ..raw(good) }), "cluster");
        assert_eq!(missing(RawConfig { coordinator_ca: None, ..raw(good) }), "coordinator_ca");
        assert_eq!(missing(RawConfig { coordinator_cert: Some("/c".into()), ..raw(good) }), "coordinator_key");
        assert_eq!(missing(RawConfig { coordinator_key: Some("/k".into()), ..raw(good) }), "coordinator_cert");
        assert_eq!(missing(RawConfig { roles: vec!["boss".to_owned()], ..raw(good) }), "roles");
        assert_eq!(missing(RawConfig { roles: vec![], ..raw(good) }), "roles");
    }
}
