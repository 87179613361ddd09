//! A client of the REST API; the command line is built on it.
//!
//! The token opens everything, so it goes to the server that is named and nowhere else: not through a proxy that the environment
//! names, not after a redirect, and over a network only encrypted.
//!
//! Several servers may be named that are daemons of one cluster: the next one is asked where one cannot be reached, or cannot
//! tell now (503). A call that may have reached one is sent to another only where it may be made twice: it reads, or has an idempotency key.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::{Method, Response, StatusCode, Url, header, redirect};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    api::{List, Problem},
    control::Tagged,
    token::ApiToken,
};

/// The header of a call that may be made twice.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Talks to a server, or to one of several.
#[derive(Clone, Debug)]
pub struct Client {
    bases: Vec<String>,
    /// The one that is asked first.
    first: Arc<AtomicUsize>,
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
    /// No server is named.
    #[error("no server is named")]
    Nowhere,
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
    /// A client of the server at `base` (`https://host:port`, or `http://` and an address of this host), or of several, with commas.
    ///
    /// # Errors
    /// [`Error::Plain`] of another host's address with `http://`; [`Error::Nowhere`]; [`Error::Unreachable`] where the HTTP client cannot be made.
    pub fn new(base: &str, token: ApiToken) -> Result<Self, Error> {
        match bases(base).find_map(plain_host) {
            Some(host) => Err(Error::Plain { host }),
            None => Self::unencrypted(base, token),
        }
    }

    /// The same, also for `http://` and another host's address: for a network that is trusted with the token.
    ///
    /// # Errors
    /// [`Error::Nowhere`]; [`Error::Unreachable`] where the HTTP client cannot be made.
    pub fn unencrypted(base: &str, token: ApiToken) -> Result<Self, Error> {
        // Fails only if a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bases: Vec<_> = bases(base).map(|base| base.trim_end_matches('/').to_owned()).collect();
        if bases.is_empty() {
            return Err(Error::Nowhere);
        }
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(120))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|source| Error::Unreachable { url: base.to_owned(), source })?;
        Ok(Self { bases, first: Arc::default(), token, http })
    }

    /// GET of `path`.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.send(call(Method::GET, path)).await
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
        self.send(call(Method::GET, path).header("prefer", format!("wait={seconds}"))).await
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
        let asked = call(Method::POST, path).json(body);
        self.send(key.iter().fold(asked, |asked, key| asked.header(IDEMPOTENCY_KEY, *key))).await
    }

    /// GET of `path`, with the ETag of its state.
    ///
    /// # Errors
    /// All of [`Error`]; [`Error::Shape`] where there is no ETag.
    pub async fn get_tagged<T: DeserializeOwned>(&self, path: &str) -> Result<Tagged<T>, Error> {
        let (value, etag) = self.exchange(call(Method::GET, path)).await?;
        let no_tag = || Error::Shape { url: path.to_owned(), status: 200, reason: "it has no ETag".to_owned() };
        Ok(Tagged { value, etag: etag.ok_or_else(no_tag)? })
    }

    /// PUT of `body` to `path`, where that is still in the state of this ETag.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B, etag: &str) -> Result<T, Error> {
        self.send(call(Method::PUT, path).json(body).header("if-match", etag)).await
    }

    /// DELETE of `path`, where that is still in the state of this ETag.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str, etag: &str) -> Result<T, Error> {
        self.send(call(Method::DELETE, path).header("if-match", etag)).await
    }

    async fn send<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Error> {
        Ok(self.exchange(call).await?.0)
    }

    /// The first answer of a server. Where none gives one, what the last one said that cannot tell now, else why it cannot be reached.
    async fn reach(&self, call: &Call<'_>) -> Result<Response, reqwest::Error> {
        let (first, count) = (self.first.load(Ordering::Relaxed), self.bases.len());
        let mut answer = self.ask(&self.bases[first], call).await;
        for at in (1..count).map(|turn| (first + turn) % count) {
            if !call.may_go_on_after(&answer) {
                break;
            }
            let other = self.ask(&self.bases[at], call).await;
            if !call.may_go_on_after(&other) {
                self.first.store(at, Ordering::Relaxed);
            }
            if other.is_ok() || answer.is_err() {
                answer = other;
            }
        }
        answer
    }

    async fn ask(&self, base: &str, call: &Call<'_>) -> Result<Response, reqwest::Error> {
        let authorization = format!("Bearer {}", self.token.expose());
        let request = self.http.request(call.method.clone(), format!("{base}{}", call.path));
        let mut request = request.header(header::AUTHORIZATION, authorization);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        request.send().await
    }

    /// The answer, and its ETag where it has one.
    async fn exchange<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<(T, Option<String>), Error> {
        let unreachable =
            |source: reqwest::Error| Error::Unreachable { url: self.bases.join(","), source: source.without_url() };
        let response = self.reach(&call).await.map_err(unreachable)?;
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

/// What is asked, of whichever server.
struct Call<'a> {
    method: Method,
    path: &'a str,
    headers: Vec<(&'static str, String)>,
    /// JSON.
    body: Option<Vec<u8>>,
}

impl Call<'_> {
    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn json(mut self, body: &impl Serialize) -> Self {
        self.body = Some(serde_json::to_vec(body).expect("bodies are plain data with text keys"));
        self.header("content-type", "application/json")
    }

    /// Whether another server is asked after this.
    fn may_go_on_after(&self, answer: &Result<Response, reqwest::Error>) -> bool {
        match answer {
            Ok(answer) => answer.status() == StatusCode::SERVICE_UNAVAILABLE && self.is_repeatable(),
            Err(error) => error.is_connect() || self.is_repeatable(),
        }
    }

    /// Whether it does no more when it is made twice.
    fn is_repeatable(&self) -> bool {
        self.method == Method::GET || self.headers.iter().any(|(name, _)| *name == IDEMPOTENCY_KEY)
    }
}

fn call(method: Method, path: &str) -> Call<'_> {
    Call { method, path, headers: Vec::new(), body: None }
}

/// The addresses that a text names.
fn bases(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|base| !base.is_empty())
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
