//! Routes of stores.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};

use super::{Shared, extract::Body};
use crate::api::{AddStore, Checklist, List, Problem, Store};

/// Registers a store after its preflight.
#[utoipa::path(post, path = "/api/v1/stores", tag = "stores", request_body = AddStore,
    responses((status = 201, body = Store), (status = "4XX", body = Problem)))]
pub(super) async fn add(
    State(shared): State<Shared>,
    Body(request): Body<AddStore>,
) -> Result<(StatusCode, Json<Store>), Problem> {
    Ok((StatusCode::CREATED, Json(shared.api.add_store(request).await?)))
}

/// Lists registered stores.
#[utoipa::path(get, path = "/api/v1/stores", tag = "stores", responses((status = 200, body = List<Store>)))]
pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<List<Store>>, Problem> {
    Ok(Json(List::whole(shared.api.stores().await?)))
}

/// Runs the preflight of a store.
#[utoipa::path(post, path = "/api/v1/stores/{name}/test", tag = "stores", params(("name" = String, Path)),
    responses((status = 200, body = Checklist), (status = "4XX", body = Problem)))]
pub(super) async fn test(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Json<Checklist>, Problem> {
    Ok(Json(shared.api.test_store(&name).await?))
}
