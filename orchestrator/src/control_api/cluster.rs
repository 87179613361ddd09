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

/// Says whether a daemon of the cluster is to take new work.
pub(super) async fn drain(api: &Api, name: &str, drains: bool) -> Result<Cluster, Problem> {
    let known = show(api).await?;
    // One that is gone can be taken back, too.
    if drains && !known.nodes.iter().any(|node| node.name == name) {
        return Err(Problem::not_found("TM-NODE-0404", format!("there is no daemon {name} in the cluster"))
            .with_hint("tidemark cluster status shows the daemons that are there"));
    }
    let failed = |source| answer(tasks::Error::Coordinator { subject: "drain a daemon".to_owned(), source });
    nodes::drain::set(&*api.coordinator, name, drains).await.map_err(failed)?;
    show(api).await
}

fn node(Node { record, leads, drains, tasks }: Node) -> ClusterNode {
    let NodeRecord { name, address, version, roles, started } = record;
    ClusterNode { name, address, version, roles, leads, drains, started, operations: tasks }
}
