//! Opening a store by its URL.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, Checksum, S3ConditionalPut},
    client::HttpConnector,
    memory::InMemory,
    multipart::MultipartStore,
    path::Path,
    prefix::PrefixStore,
};

use crate::{
    Env,
    checksums::{self, Connector},
    credentials::Credentials,
    guarded::Guarded,
    limits::Limits,
    local::{self, Local, Sync},
    paged::Paged,
    retry::Retry,
    store_url::{S3Url, StoreUrl},
    tls,
    unfinished::{Bucket, Directory, Unfinished},
};

/// Limits of an opened store.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Requests at a time, from 1.
    pub requests: usize,
    /// Further bounds, which can be changed while the store is in use, and shared with other stores.
    pub limits: Limits,
    /// How long a failing request is tried again; only stores behind a network.
    pub retry: Retry,
    /// Longest time of one request, its body included.
    pub request_timeout: Duration,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// What the store's checksums are worth; only S3 stores.
    pub checksums: Checksums,
    /// The directory of a file store is made where it is absent. Only for a store that is new: one that is known and whose
    /// directory is gone (moved, emptied, not mounted) must not be taken for an empty one.
    pub create: bool,
}

/// What the checksums that a store tells are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksums {
    /// Nothing: it has not been shown that the store verifies them. Large uploads are read back.
    #[default]
    Unproven,
    /// As much as reading back: [`crate::preflight::checksums()`] has shown it. The store is asked for them.
    Told,
    /// For that preflight: other bytes than those that were hashed are sent.
    Tampered,
}

impl Default for OpenOptions {
    /// 64 requests at a time, no further limits, the default [`Retry`], 2 min a request, 5 s to connect, checksums unproven, nothing made.
    fn default() -> Self {
        Self {
            requests: 64,
            limits: Limits::default(),
            retry: Retry::default(),
            request_timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(5),
            checksums: Checksums::Unproven,
            create: false,
        }
    }
}

/// Why a store could not be opened. Opening makes no request: a wrong endpoint or key shows in the preflight.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory of a file store cannot be made.
    #[error("create directory {} of a file store", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The directory of a file store is not there, and was not to be made.
    #[error("there is no directory {}", path.display())]
    Absent {
        /// The directory.
        path: PathBuf,
    },
    /// An S3 store without credentials.
    #[error("store {url} needs credentials: give env:PREFIX or file:/path")]
    Credentials {
        /// The store.
        url: StoreUrl,
    },
    /// The client refused the settings.
    #[error("set up the client of store {url}")]
    Client {
        /// The store.
        url: StoreUrl,
        /// Why.
        source: object_store::Error,
    },
}

/// An opened store.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its objects, decorated with retry and bounded concurrency.
    pub objects: Arc<dyn ObjectStore>,
    /// Its uploads that were begun and not ended.
    pub unfinished: Unfinished,
    guarded: Guarded,
}

impl Opened {
    fn new(guarded: Guarded, unfinished: Unfinished) -> Self {
        Self { objects: Arc::new(guarded.clone()), unfinished, guarded }
    }

    /// A store that is there already, behind a network: decorated as [`opened`] does, without uploads that were begun and not ended.
    /// Simulations put their own stores in here.
    pub fn over(store: Arc<dyn ObjectStore>, options: &OpenOptions, env: &Env) -> Self {
        let guarded = Guarded::new(store, options.requests.max(1), Some(options.retry.clone()), env.clone());
        Self::new(guarded.with_limits(options.limits.clone()), Unfinished::none())
    }

    /// The same objects, by the same client, past all limits: for the few small requests that tell whether the store is there, which must
    /// not be taken for silent while they wait for bytes of others to be paid for.
    pub fn aside(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.guarded.clone().without_limits())
    }

    /// The same objects, by the same client, for work that is under limits of its own too: a request waits for these and for
    /// those that the store was opened with.
    pub fn under(&self, limits: Limits) -> Arc<dyn ObjectStore> {
        Arc::new(self.guarded.clone().with_limits(limits))
    }
}

/// The objects of [`opened`].
///
/// # Errors
/// As [`opened`].
pub fn open(
    url: &StoreUrl,
    credentials: Option<&Credentials>,
    options: &OpenOptions,
    env: &Env,
) -> Result<Arc<dyn ObjectStore>, Error> {
    opened(url, credentials, options, env).map(|opened| opened.objects)
}

/// Opens the store at `url`.
///
/// File stores are made only where the options say so, write nothing once their directory is gone, and acknowledge only what a
/// sync of the file and of its directories has made to last. S3 uploads carry their SHA-256, so that a
/// store never acknowledges bytes other than those sent. `memory:` URLs of one name are one store for this process.
///
/// # Errors
/// [`Error`] by variant; nothing is asked of a remote store yet.
pub fn opened(
    url: &StoreUrl,
    credentials: Option<&Credentials>,
    options: &OpenOptions,
    env: &Env,
) -> Result<Opened, Error> {
    tls::install();
    match url {
        StoreUrl::File(path) => {
            let store = file(url, path, options.create)?;
            let unfinished = Unfinished::in_directory(Directory::new(path.clone()));
            Ok(Opened::new(guarded(Arc::new(store), options, env), unfinished))
        }
        StoreUrl::Memory(name) => Ok(Opened::new(guarded(memory(name), options, env), Unfinished::none())),
        StoreUrl::S3(s3) => {
            let credentials = credentials.ok_or_else(|| Error::Credentials { url: url.clone() })?;
            bucket(s3, credentials, options, env).map_err(|source| Error::Client { url: url.clone(), source })
        }
    }
}

/// A store without a network: what fails there fails again.
fn guarded(inner: Arc<dyn ObjectStore>, options: &OpenOptions, env: &Env) -> Guarded {
    Guarded::new(inner, options.requests.max(1), None, env.clone()).with_limits(options.limits.clone())
}

fn bucket(
    s3: &S3Url,
    credentials: &Credentials,
    options: &OpenOptions,
    env: &Env,
) -> Result<Opened, object_store::Error> {
    let remote = remote(s3, credentials, options, false)?;
    let (requests, retry) = (options.requests.max(1), options.retry.clone());
    let guarded = Guarded::new(remote.objects(), requests, Some(retry.clone()), env.clone())
        .with_parts(remote.parts())
        .with_limits(options.limits.clone());
    // Stores refuse the question with requests that have a body.
    let asks = options.checksums == Checksums::Told;
    let guarded =
        if asks { guarded.with_heads(self::remote(s3, credentials, options, true)?.objects()) } else { guarded };
    let client = Connector { tampers: false }.connect(&client(s3, options))?;
    let uploads = Bucket::new(s3, client, credentials, remote.parts(), retry, env.clone());
    Ok(Opened::new(guarded, Unfinished::in_bucket(uploads)))
}

fn file(url: &StoreUrl, path: &std::path::Path, create: bool) -> Result<Local, Error> {
    let sync = Sync::kernel();
    if create {
        local::make(path, &sync).map_err(|error| not_made(path, error))?;
    } else if !path.is_dir() {
        return Err(Error::Absent { path: path.to_owned() });
    }
    Local::open(path, sync).map_err(|source| Error::Client { url: url.clone(), source })
}

fn not_made(path: &std::path::Path, error: local::Error) -> Error {
    let source = match error {
        local::Error::File { source, .. } => source,
        other => std::io::Error::other(other),
    };
    Error::Directory { path: path.to_owned(), source }
}

fn memory(name: &str) -> Arc<InMemory> {
    static STORES: Mutex<BTreeMap<String, Arc<InMemory>>> = Mutex::new(BTreeMap::new());
    STORES.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default().clone()
}

/// A client of a bucket, or of a prefix in one.
struct Remote {
    store: AmazonS3,
    prefix: String,
}

impl Remote {
    fn objects(&self) -> Arc<dyn ObjectStore> {
        let inner: Arc<dyn ObjectStore> = match self.prefix.as_str() {
            "" => Arc::new(self.store.clone()),
            prefix => Arc::new(PrefixStore::new(self.store.clone(), prefix)),
        };
        Arc::new(Paged::new(inner, Arc::new(self.store.clone()), Path::from(self.prefix.as_str())))
    }

    fn parts(&self) -> Arc<dyn MultipartStore> {
        match self.prefix.as_str() {
            "" => Arc::new(self.store.clone()),
            prefix => Arc::new(PrefixStore::new(self.store.clone(), prefix)),
        }
    }
}

fn client(s3: &S3Url, options: &OpenOptions) -> ClientOptions {
    let plain = s3.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    ClientOptions::new()
        .with_timeout(options.request_timeout)
        .with_connect_timeout(options.connect_timeout)
        .with_allow_http(plain)
}

fn remote(
    s3: &S3Url,
    credentials: &Credentials,
    options: &OpenOptions,
    asks: bool,
) -> Result<Remote, object_store::Error> {
    let client = client(s3, options);
    let client = if asks { checksums::asking(client) } else { client };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&s3.bucket)
        .with_region(&s3.region)
        .with_virtual_hosted_style_request(false)
        .with_access_key_id(credentials.access_key_id())
        .with_secret_access_key(credentials.secret_access_key())
        .with_checksum_algorithm(Checksum::SHA256)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_http_connector(Connector { tampers: options.checksums == Checksums::Tampered })
        .with_client_options(client)
        .with_retry(own_retry(options));
    if let Some(endpoint) = &s3.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    Ok(Remote { store: builder.build()?, prefix: s3.prefix.clone() })
}

/// The client's own tries: few, for what only it can repeat (pages of a listing, the rest of a cut body). Outages are
/// outlasted by [`Guarded`].
fn own_retry(options: &OpenOptions) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: options.retry.first,
            max_backoff: options.retry.longest.min(Duration::from_secs(1)),
            base: 2.0,
        },
        max_retries: 3,
        retry_timeout: options.retry.budget.min(Duration::from_secs(10)),
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, PutMode};

    use super::*;

    fn open_url(url: &str, credentials: Option<&Credentials>) -> Result<Arc<dyn ObjectStore>, Error> {
        open(&url.parse().unwrap(), credentials, &OpenOptions::default(), &Env::system())
    }

    #[tokio::test]
    async fn a_memory_store_is_found_again_by_its_name_and_only_by_it() {
        let (one, path) = (open_url("memory:again", None).unwrap(), Path::from("a"));
        one.put(&path, "x".into()).await.unwrap();
        assert!(open_url("memory:again", None).unwrap().head(&path).await.is_ok());
        assert!(open_url("memory:other", None).unwrap().head(&path).await.is_err());
    }

    #[tokio::test]
    async fn a_file_store_is_made_with_its_directories_only_where_that_was_said() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}/a/b", dir.path().display());
        let error = open_url(&url, None).unwrap_err();
        assert!(matches!(&error, Error::Absent { path } if path.ends_with("a/b")), "{error}");
        assert!(!dir.path().join("a").exists());
        let new = OpenOptions { create: true, ..OpenOptions::default() };
        let store = open(&url.parse().unwrap(), None, &new, &Env::system()).unwrap();
        store.put(&Path::from("c/d"), "x".into()).await.unwrap();
        assert_eq!(std::fs::read(dir.path().join("a/b/c/d")).unwrap(), b"x");
    }

    #[tokio::test]
    async fn nothing_is_written_once_the_directory_of_a_file_store_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (here, away) = (dir.path().join("here"), dir.path().join("away"));
        std::fs::create_dir(&here).unwrap();
        let store = open_url(&format!("file://{}", here.display()), None).unwrap();
        std::fs::rename(&here, &away).unwrap();
        let (path, create) = (Path::from("c/d"), PutMode::Create.into());
        store.put(&path, "x".into()).await.unwrap_err();
        store.put_opts(&path, "x".into(), create).await.unwrap_err();
        assert!(store.put_multipart(&path).await.is_err());
        assert!(!here.exists(), "a write made the directory again");
        std::fs::rename(&away, &here).unwrap();
        store.put(&path, "x".into()).await.unwrap();
    }

    #[test]
    fn s3_without_credentials_is_refused_by_name() {
        let error = open_url("s3://backups?region=r", None).unwrap_err().to_string();
        assert!(error.contains("s3://backups") && error.contains("credentials"), "{error}");
    }

    #[test]
    fn a_client_never_prints_its_secret() {
        let keys = Credentials::new("AK", "hunter2");
        let store = open_url("s3://backups/p?endpoint=http://127.0.0.1:1", Some(&keys)).unwrap();
        assert!(!format!("{store} {keys:?}").contains("hunter2"));
    }
}
