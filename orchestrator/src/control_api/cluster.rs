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
    let failed = |source| answer(tasks::Error::Coordinator { subject: "drain a daemon".to_owned(), source });
    let there = show(api).await?.nodes.iter().any(|node| node.name == name);
    // One that drains may be gone by now, and can be taken back all the same.
    let known =
        there || !drains && nodes::drain::all(&*api.coordinator).await.map_err(failed)?.contains(&name.to_owned());
    if !known {
        return Err(Problem::not_found("TM-NODE-0404", format!("there is no daemon {name} in the cluster"))
            .with_hint("tidemark cluster status shows the daemons that are there"));
    }
    nodes::drain::set(&*api.coordinator, name, drains).await.map_err(failed)?;
    show(api).await
}

fn node(Node { record, leads, drains, tasks }: Node) -> ClusterNode {
    let NodeRecord { name, address, version, roles, started } = record;
    ClusterNode { name, address, version, roles, leads, drains, started, operations: tasks }
}
