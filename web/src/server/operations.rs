//! Routes of operations.

use axum::{
    Json,
    extract::{Path, State},
};

use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    extract::{Params, PreferWait, page},
};
use crate::api::{List, Operation, Problem};

/// Which operations to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Those that do parts of this operation; without it, those that do no part of another.
    of: Option<String>,
    /// Most items of the page; 100 by default, at most 1000.
    page_size: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// Lists operations, newest first.
#[utoipa::path(get, path = "/api/v1/operations", tag = "operations", params(Filter),
    responses((status = 200, body = List<Operation>), (status = "4XX", body = Problem)))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(Filter { of, page_size, page_token }): Params<Filter>,
) -> Result<Json<List<Operation>>, Problem> {
    let page = page(page_size, page_token.as_deref())?;
    Ok(Json(shared.api.operations(of.as_deref(), &page).await?))
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
