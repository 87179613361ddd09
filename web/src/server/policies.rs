//! Routes of policies, and protection in one call.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};

use super::{
    Shared,
    extract::{Body, IdempotencyKey, Paging, Params},
};
use crate::api::{List, Operation, Order, Policy, Problem, Protect};

/// Registers a policy.
#[utoipa::path(post, path = "/api/v1/policies", tag = "policies", request_body = Policy,
    responses((status = 201, body = Policy), (status = "4XX", body = Problem)))]
pub(super) async fn add(
    State(shared): State<Shared>,
    Body(policy): Body<Policy>,
) -> Result<(StatusCode, Json<Policy>), Problem> {
    Ok((StatusCode::CREATED, Json(shared.api.add_policy(policy).await?)))
}

/// Lists registered policies.
#[utoipa::path(get, path = "/api/v1/policies", tag = "policies", params(Paging),
    responses((status = 200, body = List<Policy>), (status = "4XX", body = Problem)))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(paging): Params<Paging>,
) -> Result<Json<List<Policy>>, Problem> {
    let (page, policies) = (paging.page()?, shared.api.policies().await?);
    Ok(Json(page.cut(policies, Order::Ascending, |policy| policy.name.clone())))
}

/// Runs a policy now: one version.
#[utoipa::path(post, path = "/api/v1/policies/{name}/run", tag = "policies",
    params(("name" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 202, body = Operation), (status = "4XX", body = Problem)))]
pub(super) async fn run(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(shared.api.run_policy(&name, &key).await?)))
}

/// Registers a policy and runs it.
#[utoipa::path(post, path = "/api/v1/protect", tag = "policies", request_body = Protect,
    params(("Idempotency-Key" = String, Header)),
    responses((status = 202, body = Operation), (status = "4XX", body = Problem)))]
pub(super) async fn protect(
    State(shared): State<Shared>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<Protect>,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(shared.api.protect(request, &key).await?)))
}
