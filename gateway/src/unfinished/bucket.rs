//! Unfinished uploads of a bucket: ListMultipartUploads, which the library has no call for.

use std::sync::Arc;

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use object_store::{
    aws::{AwsAuthorizer, AwsCredential},
    client::{HttpClient, HttpRequest, HttpRequestBody},
    multipart::MultipartStore,
    path::Path,
};
use serde::Deserialize;
use url::Url;

use super::{Error, Upload};
use crate::{
    Env,
    credentials::Credentials,
    retry::{Retry, Tries},
    store_url::S3Url,
};

/// Most uploads of one answer.
const PAGE: usize = 1000;

/// A bucket, or a prefix in one.
#[derive(Clone)]
pub(crate) struct Bucket(Arc<Inner>);

struct Inner {
    url: S3Url,
    client: HttpClient,
    credential: AwsCredential,
    /// Takes names within the prefix.
    parts: Arc<dyn MultipartStore>,
    retry: Retry,
    env: Env,
}

/// One answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
    #[serde(default, rename = "Upload")]
    uploads: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    upload_id: String,
    initiated: Timestamp,
}

/// What a store says of a refusal.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    code: String,
}

/// The last upload that was told: its key and its id.
type Marker = (String, String);

/// Where a list is.
enum At {
    /// Before the page behind the marker.
    Page(Option<Marker>),
    /// Behind a last page as long as a page can be: nothing may follow.
    End(Marker),
    Done,
}

impl Bucket {
    pub(crate) fn new(
        url: &S3Url,
        client: HttpClient,
        credentials: &Credentials,
        parts: Arc<dyn MultipartStore>,
        retry: Retry,
        env: Env,
    ) -> Self {
        let (key_id, secret_key) = (credentials.access_key_id().to_owned(), credentials.secret_access_key().to_owned());
        let credential = AwsCredential { key_id, secret_key, token: None };
        Self(Arc::new(Inner { url: url.clone(), client, credential, parts, retry, env }))
    }

    pub(super) fn list(self, prefix: Option<&Path>) -> BoxStream<'static, Result<Upload, Error>> {
        let below = [self.0.url.prefix.as_str(), prefix.map_or("", |prefix| prefix.as_ref())];
        let below: String = below.iter().filter(|part| !part.is_empty()).map(|part| format!("{part}/")).collect();
        let pages = stream::try_unfold((self, below, At::Page(None)), async |(this, below, at)| {
            let (marker, last) = match at {
                At::Page(marker) => (marker, false),
                At::End(marker) => (Some(marker), true),
                At::Done => return Ok(None),
            };
            let page = this.page(&below, marker.as_ref()).await?;
            let next = if last { this.nothing(&page)? } else { this.next(&page, marker)? };
            let uploads: Vec<_> = page.uploads.into_iter().filter_map(|entry| this.upload(entry)).map(Ok).collect();
            Ok(Some((stream::iter(uploads), (this, below, next))))
        });
        futures::TryStreamExt::try_flatten(pages).boxed()
    }

    /// What comes behind a page: it must lie behind what came before.
    fn next(&self, page: &Page, before: Option<Marker>) -> Result<At, Error> {
        if !page.is_truncated {
            let last = page.uploads.last().filter(|_| page.uploads.len() >= PAGE);
            return Ok(last.map_or(At::Done, |last| At::End((last.key.clone(), last.upload_id.clone()))));
        }
        let next = (page.next_key_marker.clone(), page.next_upload_id_marker.clone());
        if next.0.is_empty() {
            return Err(self.wrong("it ends before its end: it says that more follows, and not where"));
        }
        // Ids have no order.
        if before.is_some_and(|before| next.0 < before.0 || next == before) {
            return Err(self.wrong("it does not go on: a page gives as the next one itself, or one before it"));
        }
        Ok(At::Page(Some(next)))
    }

    fn nothing(&self, page: &Page) -> Result<At, Error> {
        if page.uploads.is_empty() { Ok(At::Done) } else { Err(self.wrong("it ends before its end: more follows")) }
    }

    fn wrong(&self, reason: &'static str) -> Error {
        Error::Pages { bucket: self.0.url.bucket.clone(), reason }
    }

    /// The upload by its name within the prefix. Names that are no paths are not ours.
    fn upload(&self, entry: Entry) -> Option<Upload> {
        let prefix = &self.0.url.prefix;
        let name =
            if prefix.is_empty() { Some(entry.key.as_str()) } else { entry.key.strip_prefix(&format!("{prefix}/")) };
        let path = name.and_then(|name| Path::parse(name).ok());
        if path.is_none() {
            tracing::warn!(key = entry.key, "an unfinished upload has a name that is none of ours");
        }
        Some(Upload { path: path?, id: entry.upload_id, begun: entry.initiated, bytes: None })
    }

    /// One page, asked for again while the store is not reached or busy.
    async fn page(&self, below: &str, marker: Option<&Marker>) -> Result<Page, Error> {
        let mut tries = Tries::new(&self.0.retry, &self.0.env);
        loop {
            let error = match self.ask(below, marker).await {
                Err(error) if error.is_retryable() => error,
                other => return other,
            };
            let Some(wait) = tries.next_wait() else { return Err(error) };
            tokio::time::sleep(wait).await;
        }
    }

    async fn ask(&self, below: &str, marker: Option<&Marker>) -> Result<Page, Error> {
        let (this, bucket) = (&self.0, || self.0.url.bucket.clone());
        let mut request = request(&this.url, below, marker);
        let signed = AwsAuthorizer::new(&this.credential, "s3", &this.url.region).try_authorize(&mut request, None);
        signed.map_err(|source| Error::Sign { bucket: bucket(), source })?;
        let failed = |source| Error::Request { bucket: bucket(), source };
        let answer = this.client.execute(request).await.map_err(failed)?;
        let status = answer.status();
        let text = answer.into_body().bytes().await.map_err(failed)?;
        if !status.is_success() {
            let refusal: Option<Refusal> = quick_xml::de::from_reader(&text[..]).ok();
            let code = refusal.map(|refusal| refusal.code);
            return Err(Error::Refused { bucket: bucket(), status: status.as_u16(), code });
        }
        parse(&text).map_err(|reason| Error::Answer { bucket: bucket(), reason })
    }

    pub(super) async fn abort(&self, upload: &Upload) -> Result<(), Error> {
        let failed = |source| Error::Abort { path: upload.path.clone(), id: upload.id.clone(), source };
        match self.0.parts.abort_multipart(&upload.path, &upload.id).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => other.map_err(failed),
        }
    }
}

/// GET of the bucket, path style.
fn request(s3: &S3Url, below: &str, marker: Option<&Marker>) -> HttpRequest {
    let host = s3.endpoint.clone().unwrap_or_else(|| format!("https://s3.{}.amazonaws.com", s3.region));
    let mut url = Url::parse(&format!("{host}/{}", s3.bucket)).expect("a store's URL is of checked parts");
    let mut query = url.query_pairs_mut();
    query.append_pair("uploads", "");
    if !below.is_empty() {
        query.append_pair("prefix", below);
    }
    if let Some((key, id)) = marker {
        query.append_pair("key-marker", key).append_pair("upload-id-marker", id);
    }
    drop(query);
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    // Some servers sign a space as what a form makes of it.
    let text = url.as_str().replace('+', "%20");
    *request.uri_mut() = text.parse().expect("a URL is a URI");
    request
}

fn parse(text: &[u8]) -> Result<Page, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    // The parser takes any root for the one that is asked for.
    if !text.contains("ListMultipartUploadsResult") {
        return Err("it is another answer".to_owned());
    }
    quick_xml::de::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
