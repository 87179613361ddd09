//! The daemons that work together, in words.

use super::{Printed, table};
use crate::api::{Cluster, ClusterNode};

impl Printed for Cluster {
    fn text(&self) -> String {
        let name = self.name.as_deref().unwrap_or("none: one daemon with a state of its own");
        let nodes = table(
            &["NODE", "ADDRESS", "VERSION", "ROLES", "LEADS", "DRAINS", "OPERATIONS"],
            self.nodes.iter().map(row),
        );
        format!("cluster     {name}\ngeneration  {}\n\n{nodes}", self.generation)
    }
}

fn row(node: &ClusterNode) -> Vec<String> {
    let operations = if node.operations.is_empty() { "-".to_owned() } else { node.operations.join(" ") };
    let leads = if node.leads { "yes" } else { "-" }.to_owned();
    let drains = if node.drains { "yes" } else { "-" }.to_owned();
    vec![node.name.clone(), node.address.clone(), node.version.clone(), node.roles.join(","), leads, drains, operations]
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn every_daemon_has_a_line_with_what_it_does() {
        let node = |name: &str, leads, operations: &[&str]| ClusterNode {
            name: name.to_owned(),
            address: "127.0.0.1:1".to_owned(),
            version: "0.1.0".to_owned(),
            roles: vec!["control".to_owned(), "worker".to_owned()],
            leads,
            drains: !leads,
            started: Timestamp::UNIX_EPOCH,
            operations: operations.iter().map(|id| (*id).to_owned()).collect(),
        };
        let nodes = vec![node("a", true, &[]), node("b", false, &["t1", "t2"])];
        let text = Cluster { name: Some("prod".to_owned()), generation: "3".to_owned(), nodes }.text();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["cluster", "prod"]);
        assert_eq!(lines[4], ["a", "127.0.0.1:1", "0.1.0", "control,worker", "yes", "-", "-"]);
        assert_eq!(lines[5], ["b", "127.0.0.1:1", "0.1.0", "control,worker", "-", "yes", "t1", "t2"]);
    }
}
