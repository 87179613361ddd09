//! The gateway and the commit on real object stores: which ones are trusted, and that what is promised holds on them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpListener,
    process::Command,
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use tidemark_catalog::{
    chain::VersionSet,
    commit::{Claim, ManifestDraft},
    find,
    ids::FencingToken,
    manifest::{Holds, Version},
    repository,
};
use tidemark_gateway::{
    Env, Stored,
    blocking::ObjectReader,
    credentials::Credentials,
    fetch,
    open::{self, Checksums, OpenOptions},
    preflight::{self, Outcome},
    retry::{self, Retry},
    store_url::StoreUrl,
    upload::{self, UploadOptions},
};
use tidemark_integration::stores::{self, StoreServer};

/// Failures show within seconds instead of the quarter of an hour of production.
fn options() -> OpenOptions {
    OpenOptions { retry: Retry { budget: Duration::from_secs(20), ..Retry::default() }, ..OpenOptions::default() }
}

fn local(url: &str) -> Arc<dyn ObjectStore> {
    let options = OpenOptions { create: true, ..options() };
    open::open(&url.parse().unwrap(), None, &options, &Env::system()).unwrap()
}

struct Held;

impl Claim for Held {
    fn token(&self) -> FencingToken {
        FencingToken { generation: 1, revision: 1 }
    }

    fn holds(&self) -> bool {
        true
    }
}

fn draft(task: String) -> ManifestDraft {
    let holds = Holds::Version(Box::new(Version::empty("fake")));
    ManifestDraft { task, node: "n1".to_owned(), holds, in_order: false }
}

/// Everything that a store must do; the same for all of them.
async fn conforms(store: Arc<dyn ObjectStore>) {
    let report = preflight::run(&store, &Env::system()).await.unwrap();
    assert!(report.lines.iter().all(|line| line.outcome == Outcome::Passed), "{report}");
    names_are_written_once(&store).await;
    uploads_come_back(&store).await;
    creators_of_a_repository_agree(&store).await;
    racing_commits_make_one_chain(&store).await;
}

async fn names_are_written_once(store: &Arc<dyn ObjectStore>) {
    let path = Path::from("sources/a/pages/one");
    let stored = upload::put_new(store, &path, "first").await.unwrap();
    assert_eq!(upload::put_new(store, &path, "first").await.unwrap(), stored);
    let error = upload::put_new(store, &path, "other").await.unwrap_err();
    assert!(matches!(error, upload::Error::Taken { .. }), "{error}");
    assert_eq!(fetch::get(store, &path, &stored).await.unwrap(), "first");
    let damaged = fetch::get(store, &path, &Stored::of(b"FIRST")).await.unwrap_err();
    assert!(matches!(damaged, fetch::Error::Digest { .. }), "{damaged}");
    let (race, same) = (Path::from("race"), Path::from("same"));
    let racers = join_all((0..16).map(|racer| upload::put_new(store, &race, format!("racer {racer}"))));
    assert_eq!(racers.await.iter().filter(|won| won.is_ok()).count(), 1);
    let all = join_all((0..16).map(|_| upload::put_new(store, &same, "same")));
    assert!(all.await.iter().all(Result::is_ok));
}

async fn uploads_come_back(store: &Arc<dyn ObjectStore>) {
    let bytes: Vec<u8> = (0_u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).take((11 << 20) + 7).collect();
    let (path, options) = (Path::from("segment"), UploadOptions { part_bytes: 5 << 20, in_flight: 2 });
    let mut heard = 0;
    let stored = upload::put_reader_new(store, &path, &bytes[..], &options, |n| heard += n).await.unwrap();
    assert_eq!((&stored, heard), (&Stored::of(&bytes), bytes.len() as u64));
    assert_eq!(upload::put_reader_new(store, &path, &bytes[..], &options, |_| {}).await.unwrap(), stored);
    let other = upload::put_reader_new(store, &path, &bytes[1..], &options, |_| {}).await.unwrap_err();
    assert!(matches!(other, upload::Error::Taken { .. }), "{other}");
    let reader = ObjectReader::new(store.clone(), path, stored.size, tokio::runtime::Handle::current());
    let read = tokio::task::spawn_blocking(move || reader.read_at(5 << 20, 1000)).await.unwrap().unwrap();
    assert_eq!(read, bytes[5 << 20..][..1000]);
}

/// A large upload to a store that has shown that it verifies checksums is not read back.
async fn large_uploads_are_proven_by_checksum(server: &StoreServer) {
    let (env, url, keys) = (Env::system(), server.url("proven"), server.credentials());
    let line = preflight::checksums(&url, Some(&keys), &env).await.unwrap().unwrap();
    assert_eq!(line.outcome, Outcome::Passed, "{line:?}");
    let store = open::open(&url, Some(&keys), &OpenOptions { checksums: Checksums::Told, ..options() }, &env).unwrap();
    uploads_come_back(&store).await;
    let before = server.requests().unwrap().len();
    let (bytes, path) = (vec![7; 6 << 20], Path::from("large"));
    let parts = UploadOptions { part_bytes: 5 << 20, in_flight: 2 };
    let stored = upload::put_reader_new(&store, &path, &bytes[..], &parts, |_| {}).await.unwrap();
    assert_eq!(stored, Stored::of(&bytes));
    let requests = server.requests().unwrap().split_off(before);
    let asked: Vec<&str> = requests.iter().map(|request| request.operation.as_str()).collect();
    assert!(asked.contains(&"s3_CompleteMultipartUpload") && !asked.contains(&"s3_GetObject"), "{asked:?}");
    assert_eq!(asked.last(), Some(&"s3_HeadObject"), "{asked:?}");
}

async fn creators_of_a_repository_agree(store: &Arc<dyn ObjectStore>) {
    let env = Env::system();
    let opened = join_all((0..8).map(|_| repository::create_or_open(store, &env))).await;
    let ids: BTreeSet<_> = opened.into_iter().map(|opened| opened.unwrap().id).collect();
    assert_eq!(ids.len(), 1);
}

async fn racing_commits_make_one_chain(store: &Arc<dyn ObjectStore>) {
    let set = VersionSet::new(store.clone(), "east".parse().unwrap(), "daily".parse().unwrap());
    let env = Env::system();
    let racers = (0..12).map(|racer| set.commit(draft(format!("task-{}", racer % 6)), &Held, &env));
    for done in join_all(racers).await {
        done.unwrap();
    }
    let chain = set.verify_chain().await.unwrap();
    let tasks: BTreeSet<_> = chain.iter().map(|manifest| &manifest.task).collect();
    assert_eq!((chain.len(), tasks.len()), (6, 6));
    assert_eq!(find::versions(store).await.unwrap().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_conforms() {
    let directory = tempfile::tempdir().unwrap();
    conforms(local(&format!("file://{}/store", directory.path().display()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    conforms(local("memory:conformance")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versitygw_conforms_and_refuses_a_wrong_secret_at_once() {
    let server = stores::versitygw(17070).await.unwrap();
    conforms(server.open("a/prefix", &options()).unwrap()).await;
    large_uploads_are_proven_by_checksum(&server).await;

    let wrong = Credentials::new(server.credentials().access_key_id(), "wrong");
    let store = open::open(&server.url(""), Some(&wrong), &options(), &Env::system()).unwrap();
    let error = preflight::run(&store, &Env::system()).await.unwrap_err();
    assert!(!error.is_retryable(), "{error:?}");
    let absent: StoreUrl = server.url("").to_string().replace("s3://tidemark", "s3://no-such-bucket").parse().unwrap();
    let store = open::open(&absent, Some(&server.credentials()), &options(), &Env::system()).unwrap();
    let error = preflight::run(&store, &Env::system()).await.unwrap_err();
    assert!(!error.is_retryable() && error.property() == "write-read", "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn moto_conforms() {
    let server = stores::moto(17071).await.unwrap();
    conforms(server.open("", &options()).unwrap()).await;
    // It takes any checksum: what it tells proves nothing.
    let line =
        preflight::checksums(&server.url(""), Some(&server.credentials()), &Env::system()).await.unwrap().unwrap();
    assert!(line.outcome == Outcome::Warned && line.detail.contains("another checksum is taken"), "{line:?}");
}

/// Runs this very test again in a network namespace of its own, because s3mock listens on every interface.
#[test]
fn s3mock_is_refused_by_name_and_reason() {
    if std::env::var_os("TIDEMARK_ISOLATED").is_some() {
        return tokio::runtime::Runtime::new().unwrap().block_on(refuse_s3mock());
    }
    // Installing needs the network, which the namespace does not have.
    stores::install().unwrap();
    let test = std::env::current_exe().unwrap();
    let again = "ip link set lo up && exec \"$0\" --exact stores::s3mock_is_refused_by_name_and_reason --nocapture";
    let mut command = Command::new("unshare");
    command.args(["--net", "--map-root-user", "sh", "-c", again]).arg(test).env("TIDEMARK_ISOLATED", "1");
    let run = command.output().expect("unshare is part of util-linux");
    let said = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}

async fn refuse_s3mock() {
    let server = stores::s3mock(17072).await.unwrap();
    let store = server.open("", &options()).unwrap();
    let error = preflight::run(&store, &Env::system()).await.unwrap_err();
    assert_eq!(error.property(), "create-race", "{error:?}");
    assert!(error.to_string().contains("two creators of one name both win"), "{error}");
}

/// Answers every request with `status`, as many times as are asked for.
fn answer_with(port: u16, status: &'static str, times: usize) -> std::thread::JoinHandle<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for _ in 0..times {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    })
}

/// One request to whatever is on `port`, tried again as little as the client allows.
async fn failure(port: u16) -> object_store::Error {
    let url = format!("s3://tidemark?endpoint=http://127.0.0.1:{port}").parse().unwrap();
    let short = Retry { budget: Duration::ZERO, first: Duration::from_millis(1), longest: Duration::from_millis(1) };
    let options = OpenOptions { retry: short, ..OpenOptions::default() };
    let store = open::open(&url, Some(&Credentials::new("a", "b")), &options, &Env::system()).unwrap();
    store.get(&Path::from("x")).await.unwrap_err()
}

#[tokio::test]
async fn failures_of_the_client_are_told_apart_as_the_library_words_them() {
    let refused = failure(17074).await;
    assert!(retry::is_transient(&refused), "{refused:?}");
    for (port, status, transient) in [
        (17075, "503 Slow Down", true),
        (17076, "500 Internal Server Error", true),
        (17077, "429 Too Many Requests", true),
        (17078, "400 Bad Request", false),
        (17079, "403 Forbidden", false),
    ] {
        let server = answer_with(port, status, 1);
        let error = failure(port).await;
        assert_eq!(retry::is_transient(&error), transient, "{status}: {error:?}");
        server.join().unwrap();
    }
}
