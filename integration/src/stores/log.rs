//! versitygw's own log of requests: who asked for what, and how it was answered.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::StoreServer;

/// Place of a field in a line, counted in words; the time and the owner stand before them.
mod place {
    pub(super) const REQUESTER: usize = 5;
    pub(super) const OPERATION: usize = 7;
    pub(super) const KEY: usize = 8;
    pub(super) const URI: usize = 9;
    pub(super) const STATUS: usize = 10;
}

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Access key id of who asked.
    pub user: String,
    /// For example `s3_PutObject`.
    pub operation: String,
    /// Object, with the prefix in the bucket; `-` for requests to the bucket.
    pub key: String,
    /// Path and query.
    pub uri: String,
    /// Status of the answer.
    pub status: u16,
}

/// File of the log of a server that keeps its data in `directory`.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("requests")
}

impl StoreServer {
    /// All requests that were answered so far, over restarts too, in order.
    ///
    /// # Errors
    /// Where the log cannot be read or has another shape.
    pub fn requests(&self) -> Result<Vec<Request>> {
        let text = fs::read_to_string(path(self.directory())).context("log of the store's requests")?;
        text.lines().filter(|line| !line.starts_with("log starts")).map(request).collect()
    }
}

fn request(line: &str) -> Result<Request> {
    let words: Vec<&str> = line.split(' ').collect();
    let word = |place: usize| words.get(place).map(|word| (*word).to_owned()).with_context(|| format!("line {line:?}"));
    Ok(Request {
        user: word(place::REQUESTER)?,
        operation: word(place::OPERATION)?,
        key: word(place::KEY)?,
        uri: word(place::URI)?,
        status: word(place::STATUS)?.parse().with_context(|| format!("status in {line:?}"))?,
    })
}
