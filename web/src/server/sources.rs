//! Routes of sources and their objects.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    extract::{Body, Paging, Params, page},
};
use crate::api::{AddSource, Checklist, List, Object, Order, Problem, Source};

/// Registers a source.
#[utoipa::path(post, path = "/api/v1/sources", tag = "sources", request_body = AddSource,
    responses((status = 201, body = Source), (status = "4XX", body = Problem)))]
pub(super) async fn add(
    State(shared): State<Shared>,
    Body(request): Body<AddSource>,
) -> Result<(StatusCode, Json<Source>), Problem> {
    Ok((StatusCode::CREATED, Json(shared.api.add_source(request).await?)))
}

/// Lists registered sources.
#[utoipa::path(get, path = "/api/v1/sources", tag = "sources", params(Paging),
    responses((status = 200, body = List<Source>), (status = "4XX", body = Problem)))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Params(paging): Params<Paging>,
) -> Result<Json<List<Source>>, Problem> {
    let (page, sources) = (paging.page()?, shared.api.sources().await?);
    Ok(Json(page.cut(sources, Order::Ascending, |source| source.name.clone())))
}

/// Shows one source.
#[utoipa::path(get, path = "/api/v1/sources/{name}", tag = "sources", params(("name" = String, Path)),
    responses((status = 200, body = Source), (status = "4XX", body = Problem)))]
pub(super) async fn show(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Json<Source>, Problem> {
    Ok(Json(shared.api.source(&name).await?))
}

/// Confirms a source that came from a store's mirror, with the policies that came with it: from then on they are used.
#[utoipa::path(post, path = "/api/v1/sources/{name}/confirm", tag = "sources", params(("name" = String, Path)),
    responses((status = 200, body = Source), (status = "4XX", body = Problem)))]
pub(super) async fn confirm(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Json<Source>, Problem> {
    Ok(Json(shared.api.confirm_source(&name).await?))
}

/// Runs the preflight of a source and of its listeners.
#[utoipa::path(post, path = "/api/v1/sources/{name}/test", tag = "sources", params(("name" = String, Path)),
    responses((status = 200, body = Checklist), (status = "4XX", body = Problem)))]
pub(super) async fn test(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Json<Checklist>, Problem> {
    Ok(Json(shared.api.test_source(&name).await?))
}

/// Which objects are asked for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Only live objects that no policy names.
    #[serde(default)]
    unprotected: bool,
    /// Most items of the page; 100 by default, at most 1000.
    page_size: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// Lists the objects of a source by name: live ones and those that only versions hold.
#[utoipa::path(get, path = "/api/v1/sources/{name}/objects", tag = "sources", params(("name" = String, Path), Asked),
    responses((status = 200, body = List<Object>), (status = "4XX", body = Problem)))]
pub(super) async fn objects(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Params(Asked { unprotected, page_size, page_token }): Params<Asked>,
) -> Result<Json<List<Object>>, Problem> {
    let page = page(page_size, page_token.as_deref())?;
    Ok(Json(shared.api.objects(&name, unprotected, &page).await?))
}
