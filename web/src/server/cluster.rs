//! Routes of the cluster.

use axum::{Json, extract::State};

use super::Shared;
use crate::api::{Cluster, Problem};

/// Shows the daemons that share this one's state, and what each does.
#[utoipa::path(get, path = "/api/v1/cluster", tag = "cluster",
    responses((status = 200, body = Cluster), (status = "4XX", body = Problem)))]
pub(super) async fn show(State(shared): State<Shared>) -> Result<Json<Cluster>, Problem> {
    Ok(Json(shared.api.cluster().await?))
}
