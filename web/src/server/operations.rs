//! Routes of operations.

use axum::{
    Json,
    extract::{Path, State},
};

use super::{
    Shared,
    extract::{Paging, Params, PreferWait},
};
use crate::api::{List, Operation, Problem};

/// Lists operations, newest first.
#[utoipa::path(get, path = "/api/v1/operations", tag = "operations", params(Paging),
    responses((status = 200, body = List<Operation>), (status = "4XX", body = Problem)))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(paging): Params<Paging>,
) -> Result<Json<List<Operation>>, Problem> {
    Ok(Json(shared.api.operations(&paging.page()?).await?))
}

/// Shows one operation; with `Prefer: wait=N` answers when it is done or N seconds (at most 60) have passed.
#[utoipa::path(get, path = "/api/v1/operations/{id}", tag = "operations",
    params(("id" = String, Path), ("Prefer" = Option<String>, Header)),
    responses((status = 200, body = Operation), (status = "4XX", body = Problem)))]
pub(super) async fn show(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    PreferWait(seconds): PreferWait,
) -> Result<Json<Operation>, Problem> {
    Ok(Json(shared.api.operation(&id, seconds).await?))
}

/// Asks an operation to stop.
#[utoipa::path(post, path = "/api/v1/operations/{id}/cancel", tag = "operations", params(("id" = String, Path)),
    responses((status = 200, body = Operation), (status = "4XX", body = Problem)))]
pub(super) async fn cancel(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Json<Operation>, Problem> {
    Ok(Json(shared.api.cancel_operation(&id).await?))
}

/// Takes up an operation that failed where its checkpoint is.
#[utoipa::path(post, path = "/api/v1/operations/{id}/resume", tag = "operations", params(("id" = String, Path)),
    responses((status = 200, body = Operation), (status = "4XX", body = Problem)))]
pub(super) async fn resume(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Json<Operation>, Problem> {
    Ok(Json(shared.api.resume_operation(&id).await?))
}
