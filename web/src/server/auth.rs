//! Authentication by bearer token.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{api::Problem, token::ApiToken};

/// Passes a request on iff it carries the token.
pub(super) async fn require(token: Arc<ApiToken>, request: Request, next: Next) -> Response {
    let presented = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match presented {
        Some(presented) if token.accepts(presented) => next.run(request).await,
        Some(_) => refuse("the token is not the one of this daemon"),
        None => refuse("the request carries no bearer token"),
    }
}

fn refuse(detail: &str) -> Response {
    Problem::new(401, "TM-API-0401", detail)
        .with_hint("send `Authorization: Bearer <token>` with the token of the daemon's token file")
        .into_response()
}
