//! Extractors whose refusals are problems.

use axum::{
    extract::{FromRequest, FromRequestParts, Json, Query, Request, rejection::JsonRejection},
    http::{header, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::IntoParams;

use crate::{
    api::{Page, Problem},
    control::IfMatch,
};

/// A JSON body; what is wrong with it is named with line and column.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(refuse_body(&rejection)),
        }
    }
}

fn refuse_body(rejection: &JsonRejection) -> Problem {
    Problem::new(rejection.status().as_u16(), "TM-API-0400", rejection.body_text())
}

/// Query parameters; unknown ones are refused where the type denies them.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::bad_request("TM-API-0400", rejection.body_text())),
        }
    }
}

/// Which page of a list is asked for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// Most items of the page; 100 by default, at most 1000.
    page_size: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

impl Paging {
    pub(super) fn page(&self) -> Result<Page, Problem> {
        page(self.page_size, self.page_token.as_deref())
    }
}

/// The page of these parameters.
pub(super) fn page(size: Option<u32>, token: Option<&str>) -> Result<Page, Problem> {
    Page::of(size, token).ok_or_else(|| {
        Problem::bad_request("TM-API-0413", "page_token is not one that a list gave out")
            .with_hint("start anew without page_token")
    })
}

/// The `Idempotency-Key` that every request which starts work must carry: 1 to 128 visible ASCII characters.
pub(super) struct IdempotencyKey(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let value = parts.headers.get("idempotency-key").ok_or_else(|| {
            Problem::bad_request("TM-API-0410", "the request carries no Idempotency-Key")
                .with_hint("send a new random value for new work, and the same value when trying again")
        })?;
        let text = value.to_str().ok().filter(|text| (1..=128).contains(&text.len()));
        text.map(|text| Self(text.to_owned())).ok_or_else(|| {
            Problem::bad_request("TM-API-0411", "the Idempotency-Key is not 1 to 128 visible ASCII characters")
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let value = parts.headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok());
        value.map(|value| Self(value.to_owned())).ok_or_else(|| {
            Problem::new(428, "TM-API-0428", "the request carries no If-Match")
                .with_hint("send the ETag of the state that you have seen: then nobody's change is overwritten unseen")
        })
    }
}

/// Seconds of `Prefer: wait=N` (RFC 7240), 0 without one, at most 60.
pub(super) struct PreferWait(pub(super) u64);

impl<S: Send + Sync> FromRequestParts<S> for PreferWait {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("prefer") else { return Ok(Self(0)) };
        let seconds = value.to_str().ok().and_then(|text| text.strip_prefix("wait=")).and_then(|n| n.parse().ok());
        seconds.map(|n: u64| Self(n.min(60))).ok_or_else(|| {
            Problem::bad_request("TM-API-0412", "the Prefer header is not `wait=` and a number of seconds")
        })
    }
}
