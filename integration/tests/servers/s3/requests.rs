//! What the store's own log of requests says about listeners.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use tidemark_integration::stores::log::Request;

use super::PREFIX;

/// Requests that send an object or a part of one.
const WRITES: [&str; 4] = ["s3_PutObject", "s3_CreateMultipartUpload", "s3_UploadPart", "s3_CompleteMultipartUpload"];

/// Requests that make an object visible.
const CREATIONS: [&str; 2] = ["s3_PutObject", "s3_CompleteMultipartUpload"];

/// Names of the objects that listeners had stored.
pub(crate) fn stored_by_listeners(requests: &[Request], listener: &str) -> BTreeSet<String> {
    let stored = |request: &&Request| {
        request.user == listener && request.status == 200 && CREATIONS.contains(&request.operation.as_str())
    };
    requests.iter().filter(stored).map(|request| request.key.clone()).collect()
}

/// Names of the objects that listeners sent anything of.
pub(crate) fn written_by_listeners(requests: &[Request], listener: &str) -> BTreeSet<String> {
    let wrote = |request: &&Request| request.user == listener && WRITES.contains(&request.operation.as_str());
    requests.iter().filter(wrote).map(|request| request.key.clone()).collect()
}

/// Listeners asked for nothing but what is staged of their source, deleted nothing and were refused nothing; and nobody
/// else staged anything.
pub(crate) fn rights_were_kept(requests: &[Request], listener: &str) -> Result<()> {
    let stage = format!("{PREFIX}/sources/source/staged/");
    let (own, others): (Vec<&Request>, Vec<&Request>) = requests.iter().partition(|request| request.user == listener);
    ensure!(own.iter().any(|request| request.operation == "s3_UploadPart"), "no listener sent a part");
    for request in own {
        let listing = request.key == "-" && request.uri.replace("%2F", "/").contains(&stage);
        ensure!(request.key.starts_with(&stage) || listing, "outside its stage: {request:?}");
        ensure!(!request.operation.contains("Delete") && request.status != 403, "{request:?}");
    }
    let staged = |request: &&&Request| request.key.starts_with(&stage) && WRITES.contains(&request.operation.as_str());
    let staged = others.iter().find(staged);
    ensure!(staged.is_none(), "staged with another key: {staged:?}");
    Ok(())
}

/// What listeners sent in parts was not read back: the store's checksum stands for it.
pub(crate) fn parts_were_not_read_back(requests: &[Request], listener: &str) -> Result<()> {
    let of = |operation: &str| {
        let asked = |request: &&Request| request.user == listener && request.operation == operation;
        requests.iter().filter(asked).map(|request| request.key.as_str()).collect::<BTreeSet<_>>()
    };
    let (completed, read) = (of("s3_CompleteMultipartUpload"), of("s3_GetObject"));
    ensure!(!completed.is_empty(), "no listener completed an upload in parts");
    ensure!(completed.is_disjoint(&read), "read back: {:?}", completed.intersection(&read));
    Ok(())
}
