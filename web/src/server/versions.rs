//! Routes of versions.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    extract::{IdempotencyKey, Params, page},
};
use crate::{
    api::{List, Operation, Problem, RepairedSet, Version, VersionDetail},
    control::Versions,
};

/// Which versions to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Of this source only.
    source: Option<String>,
    /// Of this policy only.
    policy: Option<String>,
    /// Expired ones too.
    #[serde(default)]
    expired: bool,
    /// Those too that were collected.
    #[serde(default)]
    collected: bool,
    /// Numbers too that collection took, which hold no version.
    #[serde(default)]
    fences: bool,
    /// Most items of the page; 100 by default, at most 1000.
    page_size: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// Lists versions by source, policy and number; those that are damaged too, with what is wrong.
#[utoipa::path(get, path = "/api/v1/versions", tag = "versions", params(Filter),
    responses((status = 200, body = List<Version>), (status = "4XX", body = Problem)))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(filter): Params<Filter>,
) -> Result<Json<List<Version>>, Problem> {
    let page = page(filter.page_size, filter.page_token.as_deref())?;
    let Filter { source, policy, .. } = &filter;
    let which = Versions {
        source: source.as_deref(),
        policy: policy.as_deref(),
        expired: filter.expired,
        collected: filter.collected,
        fences: filter.fences,
    };
    Ok(Json(shared.api.versions(which, &page).await?))
}

/// Shows one version with its objects; its id may name the store, `STORE:source.set.number`.
#[utoipa::path(get, path = "/api/v1/versions/{id}", tag = "versions", params(("id" = String, Path)),
    responses((status = 200, body = VersionDetail), (status = "4XX", body = Problem)))]
pub(super) async fn show(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Json<VersionDetail>, Problem> {
    Ok(Json(shared.api.version(&id).await?))
}

/// Reads and proves everything that a version names.
#[utoipa::path(post, path = "/api/v1/versions/{id}/verify", tag = "versions",
    params(("id" = String, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 202, body = Operation), (status = "4XX", body = Problem)))]
pub(super) async fn verify(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(shared.api.verify_version(&id, &key).await?)))
}

/// Which store.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct In {
    /// Store of the set, where several hold it.
    store: Option<String>,
}

/// Seals damage of a set's newest manifests by a number that holds no version, so that its policy can go on.
#[utoipa::path(post, path = "/api/v1/sets/{source}/{set}/repair", tag = "versions",
    params(("source" = String, Path), ("set" = String, Path), In),
    responses((status = 200, body = RepairedSet), (status = "4XX", body = Problem)))]
pub(super) async fn repair(
    State(shared): State<Shared>,
    Path((source, set)): Path<(String, String)>,
    Params(within): Params<In>,
) -> Result<Json<RepairedSet>, Problem> {
    Ok(Json(shared.api.repair_set(&source, &set, within.store.as_deref()).await?))
}
