//! Checksums that a store vouches for.
//!
//! Every S3 upload carries the SHA-256 of its bytes, or of each part; a store that verifies it never acknowledges other
//! bytes. Of an upload in parts such a store keeps the composite checksum, the SHA-256 of the parts' SHA-256s in their
//! order, and tells it to who asks: then one request proves a large upload, which need not be read back. Some stores take
//! checksums and do not look at them, so that what they tell proves nothing: only a store that has shown otherwise
//! ([`crate::preflight::checksums()`]) is opened such that it is asked.

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpRequest, HttpRequestBody, HttpResponse, HttpService, ReqwestConnector,
    },
};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use ring::digest::{Context, SHA256, digest};

/// Where a store tells the checksum of an object.
const CHECKSUM: &str = "x-amz-checksum-sha256";

/// Asks for it.
const MODE: (&str, &str) = ("x-amz-checksum-mode", "ENABLED");

/// What the store told of an object, among the extensions of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told(pub(crate) String);

/// The composite checksum of an upload in parts, as it goes on.
pub(crate) struct Composite {
    digests: Context,
    parts: u64,
}

impl Composite {
    pub(crate) fn new() -> Self {
        Self { digests: Context::new(&SHA256), parts: 0 }
    }

    /// The next part.
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.digests.update(digest(&SHA256, part).as_ref());
        self.parts += 1;
    }

    /// As stores write it: base64, and the number of parts.
    pub(crate) fn told(&self) -> Told {
        let digest = self.digests.clone().finish();
        Told(format!("{}-{}", BASE64_STANDARD.encode(digest), self.parts))
    }
}

/// Settings of a client that asks for checksums.
pub(crate) fn asking(client: ClientOptions) -> ClientOptions {
    let (name, value) = (HeaderName::from_static(MODE.0), HeaderValue::from_static(MODE.1));
    client.with_default_headers(HeaderMap::from_iter([(name, value)]))
}

/// Makes clients that hand on what the store tells; the library keeps headers to itself.
#[derive(Debug)]
pub(crate) struct Connector {
    /// Sends other bytes than those that were hashed.
    pub(crate) tampers: bool,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Service { inner, tampers: self.tampers }))
    }
}

#[derive(Debug)]
struct Service {
    inner: HttpClient,
    tampers: bool,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if self.tampers && request.method() == Method::PUT {
            let zeros = vec![0; request.body().content_length()];
            *request.body_mut() = HttpRequestBody::from(Bytes::from(zeros));
        }
        let mut response = self.inner.execute(request).await?;
        let told = response.headers().get(CHECKSUM).and_then(|value| value.to_str().ok());
        if let Some(told) = told.map(|text| Told(text.to_owned())) {
            response.extensions_mut().insert(told);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As versitygw 1.8.0 and boto3 had it of 5 MiB of `a` and 100 bytes of `b`.
    #[test]
    fn the_composite_is_the_one_that_stores_compute() {
        let mut composite = Composite::new();
        composite.add(&vec![b'a'; 5 << 20]);
        composite.add(&[b'b'; 100]);
        assert_eq!(composite.told().0, "7n1ZEEGpZyRgQtPvGMqYL80UbaFJA89T+2OobG6XQAs=-2");
    }
}
