//! Routes of policies, and protection in one call.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    extract::{Body, IdempotencyKey, Paging, Params},
    tagged,
};
use crate::{
    api::{
        ChangedPolicy, ComingRun, List, Operation, Policy, PolicyDetail, PolicyPreview, Problem, Protect, RemovedPolicy,
    },
    control::IfMatch,
};

/// Whether a policy is only tried, and what was agreed to.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Trying {
    /// Change nothing; the answer says what the policy's retention would let go.
    #[serde(default)]
    dry_run: bool,
    /// `consent` of the preview of a dry run: needed where versions would go that stay now.
    consent: Option<String>,
}

/// What was agreed to.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Agreed {
    /// `consent` of the preview of a dry run: needed where versions would go that stay now.
    consent: Option<String>,
}

/// Registers a policy; with `dry_run` only says what its retention would let go of versions that are there.
#[utoipa::path(post, path = "/api/v1/policies", tag = "policies", request_body = Policy, params(Trying),
    responses((status = 201, body = Policy), (status = 200, body = ChangedPolicy, description = "A dry run"),
        (status = "4XX", body = Problem)))]
pub(super) async fn add(
    State(shared): State<Shared>,
    Params(Trying { dry_run, consent }): Params<Trying>,
    Body(policy): Body<Policy>,
) -> Result<Response, Problem> {
    if dry_run {
        return Ok(Json(shared.api.try_policy(policy).await?).into_response());
    }
    let added = shared.api.add_policy(policy, consent.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(added)).into_response())
}

/// Lists registered policies, and how they stand.
#[utoipa::path(get, path = "/api/v1/policies", tag = "policies", params(Paging),
    responses((status = 200, body = List<PolicyDetail>), (status = "4XX", body = Problem)))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(paging): Params<Paging>,
) -> Result<Json<List<PolicyDetail>>, Problem> {
    Ok(Json(shared.api.policies(&paging.page()?).await?))
}

/// Shows one policy and how it stands; the ETag is that of the policy alone.
#[utoipa::path(get, path = "/api/v1/policies/{name}", tag = "policies", params(("name" = String, Path)),
    responses((status = 200, body = PolicyDetail, headers(("ETag" = String))), (status = "4XX", body = Problem)))]
pub(super) async fn show(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Response, Problem> {
    Ok(tagged(shared.api.policy(&name).await?))
}

/// Changes a policy; source and store stay, because its versions are there.
#[utoipa::path(put, path = "/api/v1/policies/{name}", tag = "policies", request_body = Policy,
    params(("name" = String, Path), ("If-Match" = String, Header), Trying),
    responses((status = 200, body = ChangedPolicy, headers(("ETag" = String))), (status = "4XX", body = Problem)))]
pub(super) async fn change(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Params(Trying { dry_run, consent }): Params<Trying>,
    state: IfMatch,
    Body(policy): Body<Policy>,
) -> Result<Response, Problem> {
    let changed = match dry_run {
        true => shared.api.try_change(&name, policy, &state).await?,
        false => shared.api.change_policy(&name, policy, &state, consent.as_deref()).await?,
    };
    Ok(tagged(changed))
}

/// Removes a policy; its versions stay.
#[utoipa::path(delete, path = "/api/v1/policies/{name}", tag = "policies",
    params(("name" = String, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = RemovedPolicy), (status = "4XX", body = Problem)))]
pub(super) async fn remove(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    state: IfMatch,
) -> Result<Json<RemovedPolicy>, Problem> {
    Ok(Json(shared.api.remove_policy(&name, &state).await?))
}

/// Lets the schedule of a policy rest.
#[utoipa::path(post, path = "/api/v1/policies/{name}/pause", tag = "policies", params(("name" = String, Path)),
    responses((status = 200, body = PolicyDetail, headers(("ETag" = String))), (status = "4XX", body = Problem)))]
pub(super) async fn pause(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Response, Problem> {
    Ok(tagged(shared.api.pause_policy(&name, true).await?))
}

/// Lets the schedule of a policy go on.
#[utoipa::path(post, path = "/api/v1/policies/{name}/resume", tag = "policies", params(("name" = String, Path)),
    responses((status = 200, body = PolicyDetail, headers(("ETag" = String))), (status = "4XX", body = Problem)))]
pub(super) async fn resume(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Response, Problem> {
    Ok(tagged(shared.api.pause_policy(&name, false).await?))
}

/// Confirms a policy that came from a store's mirror: from then on it is as good as any other. The consent is that of a dry run of
/// registering it.
#[utoipa::path(post, path = "/api/v1/policies/{name}/confirm", tag = "policies", params(("name" = String, Path), Agreed),
    responses((status = 200, body = PolicyDetail, headers(("ETag" = String))), (status = "4XX", body = Problem)))]
pub(super) async fn confirm(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Params(Agreed { consent }): Params<Agreed>,
) -> Result<Response, Problem> {
    Ok(tagged(shared.api.confirm_policy(&name, consent.as_deref()).await?))
}

/// Runs where none are asked for.
const DEFAULT_RUNS: usize = 10;

/// Most runs that are told.
const MOST_RUNS: usize = 1000;

/// How many runs are asked for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Counting {
    /// 10 by default, at most 1000.
    count: Option<usize>,
}

/// Lists the coming runs of a policy; none without a schedule, and while it is paused.
#[utoipa::path(get, path = "/api/v1/policies/{name}/next", tag = "policies", params(("name" = String, Path), Counting),
    responses((status = 200, body = List<ComingRun>), (status = "4XX", body = Problem)))]
pub(super) async fn next(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Params(Counting { count }): Params<Counting>,
) -> Result<Json<List<ComingRun>>, Problem> {
    let count = count.unwrap_or(DEFAULT_RUNS).min(MOST_RUNS);
    Ok(Json(shared.api.coming_runs(&name, count).await?))
}

/// Says of each version of a policy whether its retention keeps it, and why.
#[utoipa::path(get, path = "/api/v1/policies/{name}/preview", tag = "policies", params(("name" = String, Path)),
    responses((status = 200, body = PolicyPreview), (status = "4XX", body = Problem)))]
pub(super) async fn preview(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<PolicyPreview>, Problem> {
    Ok(Json(shared.api.preview_policy(&name).await?))
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
    params(("Idempotency-Key" = String, Header), Agreed),
    responses((status = 202, body = Operation), (status = "4XX", body = Problem)))]
pub(super) async fn protect(
    State(shared): State<Shared>,
    Params(Agreed { consent }): Params<Agreed>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<Protect>,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(shared.api.protect(request, &key, consent.as_deref()).await?)))
}
