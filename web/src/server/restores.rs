//! Routes of restores.

use axum::{Json, extract::State, http::StatusCode};

use super::{
    Shared,
    extract::{Body, IdempotencyKey},
};
use crate::api::{Operation, Problem, Restore, RestorePlan};

/// Says what a restore would do; the run does exactly this.
#[utoipa::path(post, path = "/api/v1/restores/plan", tag = "restores", request_body = Restore,
    responses((status = 200, body = RestorePlan), (status = "4XX", body = Problem)))]
pub(super) async fn plan(
    State(shared): State<Shared>,
    Body(request): Body<Restore>,
) -> Result<Json<RestorePlan>, Problem> {
    Ok(Json(shared.api.plan_restore(request).await?))
}

/// Counts what an undo would write: reads the version and the destination, and writes nothing. What refuses the run but
/// harms no reader (names that were not typed) does not refuse this.
#[utoipa::path(post, path = "/api/v1/restores/count", tag = "restores", request_body = Restore,
    params(("Idempotency-Key" = String, Header)),
    responses((status = 202, body = Operation), (status = "4XX", body = Problem)))]
pub(super) async fn count(
    State(shared): State<Shared>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<Restore>,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(shared.api.count_restore(request, &key).await?)))
}

/// Restores.
#[utoipa::path(post, path = "/api/v1/restores", tag = "restores", request_body = Restore,
    params(("Idempotency-Key" = String, Header)),
    responses((status = 202, body = Operation), (status = "4XX", body = Problem)))]
pub(super) async fn run(
    State(shared): State<Shared>,
    IdempotencyKey(key): IdempotencyKey,
    Body(request): Body<Restore>,
) -> Result<(StatusCode, Json<Operation>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(shared.api.restore(request, &key).await?)))
}
