//! Routes of stores.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

use super::{
    Shared,
    extract::{Body, Paging, Params},
    tagged,
};
use crate::{
    api::{AcceptStore, AcceptedStore, AddStore, ChangeStore, Checklist, List, Order, Problem, Store},
    control::IfMatch,
};

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
#[utoipa::path(get, path = "/api/v1/stores", tag = "stores", params(Paging),
    responses((status = 200, body = List<Store>), (status = "4XX", body = Problem)))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(paging): Params<Paging>,
) -> Result<Json<List<Store>>, Problem> {
    let (page, stores) = (paging.page()?, shared.api.stores().await?);
    Ok(Json(page.cut(stores, Order::Ascending, |store| store.name.clone())))
}

/// Shows one store; the ETag is that of what can be changed.
#[utoipa::path(get, path = "/api/v1/stores/{name}", tag = "stores", params(("name" = String, Path)),
    responses((status = 200, body = Store, headers(("ETag" = String))), (status = "4XX", body = Problem)))]
pub(super) async fn show(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Response, Problem> {
    Ok(tagged(shared.api.store(&name).await?))
}

/// Changes the limits of a store, also for work that runs.
#[utoipa::path(put, path = "/api/v1/stores/{name}", tag = "stores", request_body = ChangeStore,
    params(("name" = String, Path), ("If-Match" = String, Header)),
    responses((status = 200, body = Store, headers(("ETag" = String))), (status = "4XX", body = Problem)))]
pub(super) async fn change(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    state: IfMatch,
    Body(change): Body<ChangeStore>,
) -> Result<Response, Problem> {
    Ok(tagged(shared.api.change_store(&name, change, &state).await?))
}

/// Runs the preflight of a store.
#[utoipa::path(post, path = "/api/v1/stores/{name}/test", tag = "stores", params(("name" = String, Path)),
    responses((status = 200, body = Checklist), (status = "4XX", body = Problem)))]
pub(super) async fn test(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Json<Checklist>, Problem> {
    Ok(Json(shared.api.test_store(&name).await?))
}

/// Takes a store as it is now: put back from a copy, emptied or replaced on purpose.
#[utoipa::path(post, path = "/api/v1/stores/{name}/accept", tag = "stores", params(("name" = String, Path)),
    request_body = AcceptStore, responses((status = 200, body = AcceptedStore), (status = "4XX", body = Problem)))]
pub(super) async fn accept(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Body(request): Body<AcceptStore>,
) -> Result<Json<AcceptedStore>, Problem> {
    Ok(Json(shared.api.accept_store(&name, request).await?))
}
