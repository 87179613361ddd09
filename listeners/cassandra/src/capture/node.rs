//! The node that a listener captures.

use tidemark_catalog::ids::SourceId;
use tidemark_gateway::Env;
use tidemark_listener_core::access::Access;

use super::nodetool::Nodetool;
use crate::{connect::Credentials, spec::NodeSpec};

/// The node that a listener captures, and what opens it and the store.
#[derive(Clone, Debug)]
pub struct Config {
    /// The protected system.
    pub source: SourceId,
    /// The node.
    pub node: NodeSpec,
    /// Role that reads the node's system tables, where the cluster asks for one.
    pub cassandra: Option<Credentials>,
    /// The store that the process was started for.
    pub access: Access,
}

/// A node, and what it is reached by.
pub(super) struct Node {
    pub(super) config: Config,
    pub(super) nodetool: Nodetool,
    pub(super) env: Env,
}

impl Node {
    /// Nothing is asked of the node yet.
    pub(super) fn new(config: Config, env: Env) -> Self {
        Self { nodetool: Nodetool::new(config.node.nodetool.clone()), config, env }
    }
}
