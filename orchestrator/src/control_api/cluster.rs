//! The daemons of the cluster.

use tidemark_web::api::{Cluster, ClusterNode, Problem};

use super::{Api, problems::answer};
use crate::{
    nodes::{self, Node, NodeRecord},
    tasks,
};

/// The daemons that are there, and what each does.
pub(super) async fn show(api: &Api) -> Result<Cluster, Problem> {
    let coordinator = &*api.coordinator;
    let failed = |source| answer(tasks::Error::Coordinator { subject: "list nodes".to_owned(), source });
    let nodes = nodes::all(coordinator).await.map_err(failed)?;
    Ok(Cluster {
        name: coordinator.cluster().map(str::to_owned),
        generation: coordinator.generation().to_string(),
        nodes: nodes.into_iter().map(node).collect(),
    })
}

fn node(Node { record, leads, tasks }: Node) -> ClusterNode {
    let NodeRecord { name, address, version, roles, started } = record;
    ClusterNode { name, address, version, roles, leads, started, operations: tasks }
}
