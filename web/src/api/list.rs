//! Lists.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A list of things.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// The items, all of them.
    pub items: Vec<T>,
    /// Always absent: lists are whole in this version of the API.
    pub next_page_token: Option<String>,
}

impl<T> List<T> {
    /// A list with all its items.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next_page_token: None }
    }
}
