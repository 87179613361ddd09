//! Routes of what is stored and freed.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    extract::{Body, IdempotencyKey, Params},
};
use crate::{
    api::{ChangeVersion, Collect, GcPreview, Operation, Problem, StoreUsage, Version, VersionSize},
    control::VersionChange,
};

/// What a preview is about.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Preview {
    /// The store.
    store: String,
    /// One source only.
    source: Option<String>,
    /// What stays too.
    #[serde(default)]
    all: bool,
}

/// Says of each stored object what it serves and whether collection frees it; changes nothing.
#[utoipa::path(get, path = "/api/v1/gc/preview", tag = "stores", params(Preview),
    responses((status = 200, body = GcPreview), (status = "4XX", body = Problem)))]
pub(super) async fn preview(
    State(shared): State<Shared>,
    Params(preview): Params<Preview>,
) -> Result<Json<GcPreview>, Problem> {
    let Preview { store, source, all } = preview;
    Ok(Json(shared.api.preview_collection(&store, source.as_deref(), all).await?))
}

/// Frees space in a store: expires versions by their policies' rules, marks what nothing needs, and deletes what was marked long
/// enough ago.
#[utoipa::path(post, path = "/api/v1/gc", tag = "stores", request_body = Collect,
    params(("Idempotency-Key" = String, Header)),
    responses((status = 202, body = Operation), (status = "4XX", body = Problem)))]
pub(super) async fn collect(
    State(shared): State<Shared>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<Collect>,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(shared.api.collect(request, &key).await?)))
}

/// Says what is stored of each source.
#[utoipa::path(get, path = "/api/v1/stores/{name}/usage", tag = "stores", params(("name" = String, Path)),
    responses((status = 200, body = StoreUsage), (status = "4XX", body = Problem)))]
pub(super) async fn usage(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Json<StoreUsage>, Problem> {
    Ok(Json(shared.api.store_usage(&name).await?))
}

/// Says what deleting a version would free.
#[utoipa::path(get, path = "/api/v1/versions/{id}/size", tag = "versions", params(("id" = String, Path)),
    responses((status = 200, body = VersionSize), (status = "4XX", body = Problem)))]
pub(super) async fn size(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Json<VersionSize>, Problem> {
    Ok(Json(shared.api.version_size(&id).await?))
}

/// Hides a version; it is collected after a grace, and until then `unexpire` brings it back.
#[utoipa::path(post, path = "/api/v1/versions/{id}/expire", tag = "versions", params(("id" = String, Path)),
    request_body = ChangeVersion, responses((status = 200, body = Version), (status = "4XX", body = Problem)))]
pub(super) async fn expire(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Body(change): Body<ChangeVersion>,
) -> Result<Json<Version>, Problem> {
    Ok(Json(shared.api.change_version(&id, VersionChange::Expire, change).await?))
}

/// Takes the expiry of a version back, and holds it, so that no rule lets it expire again.
#[utoipa::path(post, path = "/api/v1/versions/{id}/unexpire", tag = "versions", params(("id" = String, Path)),
    request_body = ChangeVersion, responses((status = 200, body = Version), (status = "4XX", body = Problem)))]
pub(super) async fn unexpire(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Body(change): Body<ChangeVersion>,
) -> Result<Json<Version>, Problem> {
    Ok(Json(shared.api.change_version(&id, VersionChange::Unexpire, change).await?))
}

/// Holds a version: whatever rules say, it is neither expired nor collected.
#[utoipa::path(post, path = "/api/v1/versions/{id}/hold", tag = "versions", params(("id" = String, Path)),
    request_body = ChangeVersion, responses((status = 200, body = Version), (status = "4XX", body = Problem)))]
pub(super) async fn hold(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Body(change): Body<ChangeVersion>,
) -> Result<Json<Version>, Problem> {
    Ok(Json(shared.api.change_version(&id, VersionChange::Hold, change).await?))
}

/// Ends the hold of a version.
#[utoipa::path(post, path = "/api/v1/versions/{id}/release", tag = "versions", params(("id" = String, Path)),
    request_body = ChangeVersion, responses((status = 200, body = Version), (status = "4XX", body = Problem)))]
pub(super) async fn release(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Body(change): Body<ChangeVersion>,
) -> Result<Json<Version>, Problem> {
    Ok(Json(shared.api.change_version(&id, VersionChange::Release, change).await?))
}
