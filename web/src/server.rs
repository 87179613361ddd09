//! The HTTP server: routes, authentication, limits.
//!
//! Everything but `/livez`, `/readyz`, `/openapi.json` and `/errors/{code}` wants `Authorization: Bearer <token>`; a request without it is
//! refused before its body is read. Bodies are at most 1 MiB. Answers are JSON, errors are problems.

mod auth;
mod cluster;
mod collection;
mod extract;
mod operations;
mod policies;
mod restores;
mod sources;
mod stores;
mod versions;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::header,
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::Problem,
    control::{ControlApi, Tagged},
    explain,
    token::ApiToken,
};

/// What handlers share.
#[derive(Clone)]
struct Shared {
    api: Arc<dyn ControlApi>,
}

/// Largest request body, bytes.
const BODY_BYTES: usize = 1 << 20;

#[derive(OpenApi)]
#[openapi(
    info(title = "Tidemark", description = "Backup of distributed databases: versions, restores, operations."),
    security(("token" = [])),
    modifiers(&TokenScheme)
)]
struct Document;

/// Declares the bearer token in the document.
struct TokenScheme;

impl Modify for TokenScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// All routes of version 1 with their documentation.
fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(stores::list, stores::add))
        .routes(routes!(stores::show, stores::change))
        .routes(routes!(stores::test))
        .routes(routes!(stores::accept))
        .routes(routes!(sources::list, sources::add))
        .routes(routes!(sources::show))
        .routes(routes!(sources::test))
        .routes(routes!(sources::confirm))
        .routes(routes!(sources::objects))
        .routes(routes!(policies::list, policies::add))
        .routes(routes!(policies::show, policies::change, policies::remove))
        .routes(routes!(policies::run))
        .routes(routes!(policies::pause))
        .routes(routes!(policies::resume))
        .routes(routes!(policies::confirm))
        .routes(routes!(policies::next))
        .routes(routes!(policies::preview))
        .routes(routes!(policies::protect))
        .routes(routes!(versions::list))
        .routes(routes!(versions::show))
        .routes(routes!(versions::verify))
        .routes(routes!(collection::expire))
        .routes(routes!(collection::unexpire))
        .routes(routes!(collection::hold))
        .routes(routes!(collection::release))
        .routes(routes!(collection::size))
        .routes(routes!(collection::usage))
        .routes(routes!(collection::preview))
        .routes(routes!(collection::collect))
        .routes(routes!(versions::repair))
        .routes(routes!(restores::plan))
        .routes(routes!(restores::count))
        .routes(routes!(restores::run))
        .routes(routes!(cluster::show))
        .routes(routes!(cluster::drain))
        .routes(routes!(cluster::undrain))
        .routes(routes!(operations::list))
        .routes(routes!(operations::show))
        .routes(routes!(operations::cancel))
        .routes(routes!(operations::resume))
}

/// The OpenAPI 3.1 document of the API, as pretty JSON with a final newline; `docs/openapi.json` holds the same bytes.
pub fn openapi() -> String {
    let document = routes().into_openapi();
    let mut text = document.to_pretty_json().expect("the document is plain data");
    text.push('\n');
    text
}

/// The whole router, authentication included.
pub fn router(api: Arc<dyn ControlApi>, token: ApiToken) -> Router {
    let (protected, document) = routes().split_for_parts();
    let token = Arc::new(token);
    let protected = protected
        .route("/metrics", get(metrics))
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn(move |request, next| auth::require(Arc::clone(&token), request, next)));
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(|| async { "ok" }))
        .route("/openapi.json", get(|| async { Json(document) }))
        .route("/errors/{code}", get(explain))
        .merge(protected)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(CatchPanicLayer::new())
        .with_state(Shared { api })
}

/// Serves until `shutdown`, then lets running requests end.
///
/// # Errors
/// The listener's own error.
pub async fn serve(
    listener: TcpListener,
    api: Arc<dyn ControlApi>,
    token: ApiToken,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(api, token)).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

/// What Prometheus scrapes, with the token like everything that names sources and policies.
async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.api.metrics())
}

/// The page of an error code, Markdown.
async fn explain(Path(code): Path<String>) -> Result<impl IntoResponse, Problem> {
    let page = explain::page(&code).ok_or_else(|| {
        let code: String = code.chars().take(80).collect();
        Problem::not_found("TM-API-0414", format!("there is no error code {code}"))
    })?;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], page))
}

/// An answer with the tag of its state.
fn tagged<T: Serialize>(tagged: Tagged<T>) -> Response {
    ([(header::ETAG, tagged.etag)], Json(tagged.value)).into_response()
}

async fn unknown_route(uri: axum::http::Uri) -> Problem {
    Problem::not_found("TM-API-0404", format!("there is no {}", uri.path()))
        .with_hint("GET /openapi.json lists what there is")
}

async fn unknown_method(method: axum::http::Method, uri: axum::http::Uri) -> Problem {
    Problem::new(405, "TM-API-0405", format!("{} does not take {method}", uri.path()))
}

#[cfg(test)]
mod tests;
