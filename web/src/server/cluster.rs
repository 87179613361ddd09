//! Routes of the cluster.

use axum::{
    Json,
    extract::{Path, State},
};

use super::Shared;
use crate::api::{Cluster, Problem};

/// Shows the daemons that share this one's state, and what each does.
#[utoipa::path(get, path = "/api/v1/cluster", tag = "cluster",
    responses((status = 200, body = Cluster), (status = "4XX", body = Problem)))]
pub(super) async fn show(State(shared): State<Shared>) -> Result<Json<Cluster>, Problem> {
    Ok(Json(shared.api.cluster().await?))
}

/// Has a daemon take no new work: it ends what it runs, and leads no more.
#[utoipa::path(post, path = "/api/v1/cluster/nodes/{name}/drain", tag = "cluster", params(("name" = String, Path)),
    responses((status = 200, body = Cluster), (status = "4XX", body = Problem)))]
pub(super) async fn drain(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Json<Cluster>, Problem> {
    Ok(Json(shared.api.drain_node(&name, true).await?))
}

/// Has a daemon take new work again.
#[utoipa::path(post, path = "/api/v1/cluster/nodes/{name}/undrain", tag = "cluster", params(("name" = String, Path)),
    responses((status = 200, body = Cluster), (status = "4XX", body = Problem)))]
pub(super) async fn undrain(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Json<Cluster>, Problem> {
    Ok(Json(shared.api.drain_node(&name, false).await?))
}
