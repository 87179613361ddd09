//! A client of the REST API; the command line is built on it.
//!
//! The token opens everything, so it goes to the server that is named and nowhere else: not through a proxy that the environment
//! names, not after a redirect, and over a network only encrypted.

use std::{net::IpAddr, time::Duration};

use reqwest::{Method, RequestBuilder, Response, Url, header, redirect};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    api::{List, Problem},
    control::Tagged,
    token::ApiToken,
};

/// Talks to one server.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    token: ApiToken,
    http: reqwest::Client,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached, or broke off.
    #[error("call {url}")]
    Unreachable {
        /// What was called.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The token would cross a network as it is.
    #[error("http://{host} is not on this host: anybody on the way could read the token")]
    Plain {
        /// The server's name or address.
        host: String,
    },
    /// The server refused.
    #[error("{}: {}", .0.code, .0.detail)]
    Problem(Box<Problem>),
    /// The server answered something that is not this API.
    #[error("answer of {url} (HTTP {status}) is not of this API: {reason}")]
    Shape {
        /// What was called.
        url: String,
        /// HTTP status.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
}

impl Client {
    /// A client of the server at `base` (`https://host:port`, or `http://` and an address of this host).
    ///
    /// # Errors
    /// [`Error::Plain`] of another host's address with `http://`; [`Error::Unreachable`] where the HTTP client cannot be made.
    pub fn new(base: &str, token: ApiToken) -> Result<Self, Error> {
        match plain_host(base) {
            Some(host) => Err(Error::Plain { host }),
            None => Self::unencrypted(base, token),
        }
    }

    /// The same, also for `http://` and another host's address: for a network that is trusted with the token.
    ///
    /// # Errors
    /// [`Error::Unreachable`] where the HTTP client cannot be made.
    pub fn unencrypted(base: &str, token: ApiToken) -> Result<Self, Error> {
        // Fails only if a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = base.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(120))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|source| Error::Unreachable { url: base.clone(), source })?;
        Ok(Self { base, token, http })
    }

    /// GET of `path`.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.send(self.request(Method::GET, path)).await
    }

    /// GET of all pages of the list at `path`, joined.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn get_all<T: DeserializeOwned>(&self, path: &str) -> Result<List<T>, Error> {
        self.get_all_by(path, 1000).await
    }

    /// The same in pages of `size`.
    pub(crate) async fn get_all_by<T: DeserializeOwned>(&self, path: &str, size: usize) -> Result<List<T>, Error> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{joint}page_size={size}");
        let mut all: List<T> = self.get(&first).await?;
        while let Some(token) = all.next_page_token.take() {
            let page: List<T> = self.get(&format!("{first}&page_token={token}")).await?;
            all.items.extend(page.items);
            all.next_page_token = page.next_page_token;
        }
        Ok(all)
    }

    /// GET of `path` that waits at the server for up to `seconds` (at most 60) until something is done.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn get_waiting<T: DeserializeOwned>(&self, path: &str, seconds: u64) -> Result<T, Error> {
        self.send(self.request(Method::GET, path).header("prefer", format!("wait={seconds}"))).await
    }

    /// POST of `body` to `path`, with an idempotency key where the call starts work.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        key: Option<&str>,
    ) -> Result<T, Error> {
        let mut request = self.request(Method::POST, path).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(request).await
    }

    /// GET of `path`, with the ETag of its state.
    ///
    /// # Errors
    /// All of [`Error`]; [`Error::Shape`] where there is no ETag.
    pub async fn get_tagged<T: DeserializeOwned>(&self, path: &str) -> Result<Tagged<T>, Error> {
        let (value, etag) = self.exchange(self.request(Method::GET, path)).await?;
        let no_tag = || Error::Shape { url: path.to_owned(), status: 200, reason: "it has no ETag".to_owned() };
        Ok(Tagged { value, etag: etag.ok_or_else(no_tag)? })
    }

    /// PUT of `body` to `path`, where that is still in the state of this ETag.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B, etag: &str) -> Result<T, Error> {
        self.send(self.request(Method::PUT, path).json(body).header(header::IF_MATCH, etag)).await
    }

    /// DELETE of `path`, where that is still in the state of this ETag.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str, etag: &str) -> Result<T, Error> {
        self.send(self.request(Method::DELETE, path).header(header::IF_MATCH, etag)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let authorization = format!("Bearer {}", self.token.expose());
        self.http.request(method, format!("{}{path}", self.base)).header(header::AUTHORIZATION, authorization)
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        Ok(self.exchange(request).await?.0)
    }

    /// The answer, and its ETag where it has one.
    async fn exchange<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<(T, Option<String>), Error> {
        let response = request
            .send()
            .await
            .map_err(|source| Error::Unreachable { url: self.base.clone(), source: source.without_url() })?;
        let (url, status) = (response.url().path().to_owned(), response.status());
        let etag = response.headers().get(header::ETAG).and_then(|tag| Some(tag.to_str().ok()?.to_owned()));
        let bytes = read_body(&url, response).await?;
        let parsed = if status.is_success() {
            serde_json::from_slice(&bytes)
        } else {
            match serde_json::from_slice::<Problem>(&bytes) {
                Ok(problem) => return Err(Error::Problem(Box::new(problem))),
                Err(error) => Err(error),
            }
        };
        let answer = parsed.map_err(|error| Error::Shape { url, status: status.as_u16(), reason: error.to_string() });
        answer.map(|answer| (answer, etag))
    }
}

/// The host of a URL to which requests would go over a network in plain text.
fn plain_host(base: &str) -> Option<String> {
    let url = Url::parse(base).ok().filter(|url| url.scheme() == "http")?;
    let host = url.host_str()?;
    // IPv6 stands in brackets.
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let own = address.map_or_else(|_| host == "localhost", |address| address.to_canonical().is_loopback());
    (!own).then(|| host.to_owned())
}

async fn read_body(url: &str, response: Response) -> Result<Vec<u8>, Error> {
    let bytes = response.bytes().await;
    bytes
        .map(|bytes| bytes.to_vec())
        .map_err(|source| Error::Unreachable { url: url.to_owned(), source: source.without_url() })
}

#[cfg(test)]
mod tests {
    use tidemark_gateway::Env;

    use super::*;

    #[test]
    fn the_token_crosses_no_network_in_plain_text_unless_that_is_said() {
        let token = || ApiToken::generate(&Env::system());
        let own = [
            "http://127.0.0.1:8480",
            "http://127.0.95.1",
            "http://localhost:1/",
            "http://[::1]:8480",
            "HTTP://LOCALHOST:1",
        ];
        for base in own.into_iter().chain(["https://backup.example", "https://10.0.0.1:8480"]) {
            assert!(Client::new(base, token()).is_ok(), "{base}");
        }
        let others = [
            "http://10.0.0.1:8480",
            "http://backup.example",
            "http://u:p@backup.example:1/x",
            "http://[2001:db8::1]:8480",
        ];
        for base in
            others.into_iter().chain(["http://localhost.example", "http://127.0.0.1.example", "http://0.0.0.0:1"])
        {
            let error = Client::new(base, token()).unwrap_err();
            assert!(matches!(&error, Error::Plain { host } if base.contains(host.as_str())), "{base}: {error}");
            assert!(Client::unencrypted(base, token()).is_ok(), "{base}");
        }
    }
}
