//! The server over a real socket, with an API that records what it was asked.

use std::sync::Mutex;

use async_trait::async_trait;
use tidemark_gateway::Env;

use super::*;
use crate::{
    api::{
        AcceptStore, AcceptedStore, AddSource, AddStore, ChangeStore, ChangeVersion, ChangedPolicy, Checklist, Cluster,
        Collect, ComingRun, CommitMode, GcPreview, Limits, List, Object, Operation, OperationKind, OperationProgress,
        OperationState, Page, Policy, PolicyDetail, PolicyPreview, PolicyStatus, Protect, RemovedPolicy, RepairedSet,
        Restore, RestorePlan, Source, Store, StoreUsage, Version, VersionDetail, VersionSize,
    },
    client::{self, Client},
    control::{IfMatch, Tagged, VersionChange, Versions},
};

/// Answers with what it was asked, and remembers it.
#[derive(Default)]
struct Echo {
    asked: Mutex<Vec<String>>,
}

impl Echo {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

fn refuse<T>(what: &str) -> Result<T, Problem> {
    Err(Problem::not_found("TM-TEST-0404", what).with_hint("look elsewhere"))
}

fn operation(id: &str) -> Operation {
    Operation {
        id: id.to_owned(),
        kind: OperationKind::Protect,
        part_of: None,
        subject: "test".to_owned(),
        state: OperationState::Queued,
        done: false,
        attempt: 0,
        progress: OperationProgress::default(),
        created: jiff::Timestamp::UNIX_EPOCH,
        finished: None,
        error: None,
        result: None,
        result_cut: None,
    }
}

fn store(name: &str) -> Store {
    Store {
        taken_over: None,
        name: name.to_owned(),
        url: "memory:".to_owned(),
        repository: "r".to_owned(),
        commit_mode: CommitMode::AtomicCreate,
        limits: None,
        limit_now: None,
        warnings: vec![],
    }
}

fn detail(name: &str, paused: bool) -> PolicyDetail {
    let mut policy = serde_json::json!({"name": name, "source": "s", "objects": ["a/*"], "store": "t"});
    policy["paused"] = paused.into();
    let policy = serde_json::from_value(policy).unwrap();
    PolicyDetail { policy, status: PolicyStatus::default(), unconfirmed: None }
}

#[async_trait]
impl ControlApi for Echo {
    async fn drain_node(&self, name: &str, drains: bool) -> Result<Cluster, Problem> {
        self.note(format!("drain {name} {drains}"));
        self.cluster().await
    }
    async fn cluster(&self) -> Result<Cluster, Problem> {
        Ok(Cluster { name: None, generation: "1".to_owned(), nodes: vec![] })
    }
    async fn add_store(&self, request: AddStore) -> Result<Store, Problem> {
        Ok(Store { url: request.url, ..store(&request.name) })
    }
    async fn stores(&self) -> Result<Vec<Store>, Problem> {
        Ok(["a", "b", "c"].map(store).to_vec())
    }
    async fn store(&self, name: &str) -> Result<Tagged<Store>, Problem> {
        Ok(Tagged { value: store(name), etag: "\"1\"".to_owned() })
    }
    async fn change_store(&self, name: &str, change: ChangeStore, state: &IfMatch) -> Result<Tagged<Store>, Problem> {
        self.note(format!("change {name} {}", state.0));
        Ok(Tagged { value: Store { limits: change.limits, ..store(name) }, etag: "\"2\"".to_owned() })
    }
    async fn test_store(&self, name: &str) -> Result<Checklist, Problem> {
        refuse(name)
    }
    async fn accept_store(&self, name: &str, _request: AcceptStore) -> Result<AcceptedStore, Problem> {
        refuse(name)
    }
    async fn add_source(&self, request: AddSource) -> Result<Source, Problem> {
        refuse(&request.name)
    }
    async fn sources(&self) -> Result<Vec<Source>, Problem> {
        panic!("a handler that panics")
    }
    async fn source(&self, name: &str) -> Result<Source, Problem> {
        refuse(name)
    }
    async fn confirm_source(&self, name: &str) -> Result<Source, Problem> {
        refuse(name)
    }
    async fn test_source(&self, name: &str) -> Result<Checklist, Problem> {
        refuse(name)
    }
    async fn objects(&self, source: &str, _unprotected: bool, _page: &Page) -> Result<List<Object>, Problem> {
        refuse(source)
    }
    async fn add_policy(&self, policy: Policy, consent: Option<&str>) -> Result<Policy, Problem> {
        self.note(format!("add {} {consent:?}", policy.name));
        Ok(policy)
    }
    async fn try_policy(&self, policy: Policy) -> Result<ChangedPolicy, Problem> {
        self.note(format!("try {}", policy.name));
        Ok(ChangedPolicy { policy, preview: None })
    }
    async fn policies(&self, _page: &Page) -> Result<List<PolicyDetail>, Problem> {
        Ok(List::whole(Vec::new()))
    }
    async fn policy(&self, name: &str) -> Result<Tagged<PolicyDetail>, Problem> {
        Ok(Tagged { value: detail(name, false), etag: "\"1\"".to_owned() })
    }
    async fn change_policy(
        &self,
        name: &str,
        policy: Policy,
        state: &IfMatch,
        consent: Option<&str>,
    ) -> Result<Tagged<ChangedPolicy>, Problem> {
        self.note(format!("change {name} {} {consent:?}", state.0));
        Ok(Tagged { value: ChangedPolicy { policy, preview: None }, etag: "\"2\"".to_owned() })
    }
    async fn try_change(&self, name: &str, policy: Policy, state: &IfMatch) -> Result<Tagged<ChangedPolicy>, Problem> {
        self.note(format!("try {name} {}", state.0));
        Ok(Tagged { value: ChangedPolicy { policy, preview: None }, etag: "\"1\"".to_owned() })
    }
    async fn remove_policy(&self, name: &str, state: &IfMatch) -> Result<RemovedPolicy, Problem> {
        self.note(format!("remove {name} {}", state.0));
        Ok(RemovedPolicy { policy: detail(name, false).policy, versions: 0, note: String::new() })
    }
    async fn pause_policy(&self, name: &str, paused: bool) -> Result<Tagged<PolicyDetail>, Problem> {
        Ok(Tagged { value: detail(name, paused), etag: "\"3\"".to_owned() })
    }
    async fn confirm_policy(&self, name: &str, _: Option<&str>) -> Result<Tagged<PolicyDetail>, Problem> {
        self.note(format!("confirm {name}"));
        Ok(Tagged { value: detail(name, false), etag: "\"4\"".to_owned() })
    }
    async fn coming_runs(&self, name: &str, count: usize) -> Result<List<ComingRun>, Problem> {
        self.note(format!("next {name} {count}"));
        Ok(List::whole(Vec::new()))
    }
    async fn preview_policy(&self, _name: &str) -> Result<PolicyPreview, Problem> {
        Ok(PolicyPreview::default())
    }
    async fn run_policy(&self, name: &str, key: &str) -> Result<Operation, Problem> {
        self.note(format!("run {name} {key}"));
        Ok(operation(key))
    }
    async fn protect(&self, request: Protect, key: &str, consent: Option<&str>) -> Result<Operation, Problem> {
        self.note(format!("protect {} {key} {consent:?}", request.policy.name));
        Ok(operation(key))
    }
    async fn versions(&self, which: Versions<'_>, page: &Page) -> Result<List<Version>, Problem> {
        self.note(format!("versions {:?} {:?} {} {}", which.source, which.policy, which.expired, page.size));
        Ok(List::whole(Vec::new()))
    }
    async fn version(&self, id: &str) -> Result<VersionDetail, Problem> {
        refuse(id)
    }
    async fn verify_version(&self, _id: &str, key: &str) -> Result<Operation, Problem> {
        Ok(operation(key))
    }
    async fn change_version(&self, id: &str, _what: VersionChange, _why: ChangeVersion) -> Result<Version, Problem> {
        refuse(id)
    }
    async fn version_size(&self, id: &str) -> Result<VersionSize, Problem> {
        refuse(id)
    }
    async fn store_usage(&self, name: &str) -> Result<StoreUsage, Problem> {
        refuse(name)
    }
    async fn preview_collection(&self, store: &str, source: Option<&str>, all: bool) -> Result<GcPreview, Problem> {
        self.note(format!("preview {store} {source:?} {all}"));
        refuse(store)
    }
    async fn collect(&self, _request: Collect, key: &str) -> Result<Operation, Problem> {
        Ok(operation(key))
    }
    async fn repair_set(&self, source: &str, set: &str, store: Option<&str>) -> Result<RepairedSet, Problem> {
        let (store, source, set) = (store.unwrap_or("s").to_owned(), source.to_owned(), set.to_owned());
        Ok(RepairedSet { store, source, set, sealed: None, damage: None })
    }
    async fn plan_restore(&self, request: Restore) -> Result<RestorePlan, Problem> {
        refuse(&request.version)
    }
    async fn count_restore(&self, _request: Restore, key: &str) -> Result<Operation, Problem> {
        Ok(operation(key))
    }
    async fn restore(&self, _request: Restore, key: &str) -> Result<Operation, Problem> {
        Ok(operation(key))
    }
    fn metrics(&self) -> String {
        "tidemark_leader 1\n".to_owned()
    }
    async fn operations(&self, _of: Option<&str>, _page: &Page) -> Result<List<Operation>, Problem> {
        Ok(List::whole(Vec::new()))
    }
    async fn operation(&self, id: &str, wait_seconds: u64) -> Result<Operation, Problem> {
        self.note(format!("operation {id} {wait_seconds}"));
        Ok(operation(id))
    }
    async fn resume_operation(&self, id: &str) -> Result<Operation, Problem> {
        Ok(operation(id))
    }
    async fn cancel_operation(&self, id: &str) -> Result<Operation, Problem> {
        Ok(operation(id))
    }
}

struct Running {
    api: Arc<Echo>,
    address: String,
    token: ApiToken,
    _stop: tokio_util::sync::DropGuard,
}

async fn start() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (api, token, shutdown) =
        (Arc::new(Echo::default()), ApiToken::generate(&Env::system()), CancellationToken::new());
    tokio::spawn(serve(listener, api.clone(), token.clone(), shutdown.clone()));
    Running { api, address, token, _stop: shutdown.drop_guard() }
}

fn problem(error: client::Error) -> Problem {
    match error {
        client::Error::Problem(problem) => *problem,
        other => panic!("not a problem: {other:?}"),
    }
}

#[tokio::test]
async fn every_documented_route_wants_the_token() {
    let server = start().await;
    let client = Client::new(&server.address, ApiToken::generate(&Env::system())).unwrap();
    let document: serde_json::Value = serde_json::from_str(&openapi()).unwrap();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert!(paths.len() >= 15);
    for path in paths {
        let path = path.replace(['{', '}'], "");
        let refused = problem(client.get::<serde_json::Value>(&path).await.unwrap_err());
        assert_eq!((refused.status, refused.code.as_str()), (401, "TM-API-0401"), "{path}");
        let body = serde_json::json!({});
        let refused = problem(client.post::<_, serde_json::Value>(&path, &body, None).await.unwrap_err());
        assert_eq!(refused.status, 401, "{path}");
    }
}

#[tokio::test]
async fn metrics_are_plain_text_for_who_has_the_token() {
    let server = start().await;
    let (http, url) = (reqwest::Client::new(), format!("{}/metrics", server.address));
    assert_eq!(http.get(&url).send().await.unwrap().status(), 401);
    let told = http.get(&url).bearer_auth(server.token.expose()).send().await.unwrap();
    assert_eq!(told.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(told.text().await.unwrap(), "tidemark_leader 1\n");
}

#[tokio::test]
async fn problems_of_the_api_reach_the_client_whole() {
    let server = start().await;
    let client = Client::new(&server.address, server.token.clone()).unwrap();
    let refused = problem(client.get::<Source>("/api/v1/sources/nowhere").await.unwrap_err());
    assert_eq!(refused.code, "TM-TEST-0404");
    assert_eq!(refused.detail, "nowhere");
    assert_eq!(refused.hint.as_deref(), Some("look elsewhere"));
}

#[tokio::test]
async fn work_needs_an_idempotency_key() {
    let server = start().await;
    let client = Client::new(&server.address, server.token.clone()).unwrap();
    let path = "/api/v1/policies/daily/run";
    let body = serde_json::json!({});
    let refused = problem(client.post::<_, Operation>(path, &body, None).await.unwrap_err());
    assert_eq!((refused.status, refused.code.as_str()), (400, "TM-API-0410"));
    client.post::<_, Operation>(path, &body, Some("k1")).await.unwrap();
    assert_eq!(*server.api.asked.lock().unwrap(), ["run daily k1"]);
}

#[tokio::test]
async fn a_change_of_a_policy_is_bound_to_the_state_that_was_seen() {
    let server = start().await;
    let client = Client::new(&server.address, server.token.clone()).unwrap();
    let path = "/api/v1/policies/daily";
    let seen: Tagged<PolicyDetail> = client.get_tagged(path).await.unwrap();
    assert_eq!((seen.value.policy.name.as_str(), seen.etag.as_str()), ("daily", "\"1\""));
    let policy = seen.value.policy;
    let _: ChangedPolicy = client.put(path, &policy, &seen.etag).await.unwrap();
    let _: ChangedPolicy = client.put(&format!("{path}?dry_run=true"), &policy, &seen.etag).await.unwrap();
    let _: ChangedPolicy = client.put(&format!("{path}?consent=ab"), &policy, &seen.etag).await.unwrap();
    let _: Policy = client.post("/api/v1/policies?consent=cd", &policy, None).await.unwrap();
    let _: ChangedPolicy = client.post("/api/v1/policies?dry_run=true", &policy, None).await.unwrap();
    let protect = Protect { policy: policy.clone() };
    let _: Operation = client.post("/api/v1/protect?consent=ef", &protect, Some("k")).await.unwrap();
    let _: RemovedPolicy = client.delete(path, "*").await.unwrap();
    let _: List<ComingRun> = client.get(&format!("{path}/next?count=5000")).await.unwrap();
    let noted = [
        "change daily \"1\" None",
        "try daily \"1\"",
        "change daily \"1\" Some(\"ab\")",
        "add daily Some(\"cd\")",
        "try daily",
        "protect daily k Some(\"ef\")",
        "remove daily *",
        "next daily 1000",
    ];
    assert_eq!(*server.api.asked.lock().unwrap(), noted);
    let unbound = reqwest::Client::new().put(format!("{}{path}", server.address)).json(&policy);
    let refused = unbound.bearer_auth(server.token.expose()).send().await.unwrap();
    assert_eq!(refused.status(), 428);
    assert_eq!(refused.json::<Problem>().await.unwrap().code, "TM-API-0428");
    assert_eq!(server.api.asked.lock().unwrap().len(), noted.len());
}

#[tokio::test]
async fn a_change_of_a_store_is_bound_to_the_state_that_was_seen() {
    let server = start().await;
    let client = Client::new(&server.address, server.token.clone()).unwrap();
    let path = "/api/v1/stores/main";
    let seen: Tagged<Store> = client.get_tagged(path).await.unwrap();
    let limits = Some(Limits { requests: Some(4), ..Limits::default() });
    let change = ChangeStore { limits: limits.clone() };
    let changed: Store = client.put(path, &change, &seen.etag).await.unwrap();
    assert_eq!(changed.limits, limits);
    let unbound = reqwest::Client::new().put(format!("{}{path}", server.address)).json(&change);
    let refused = unbound.bearer_auth(server.token.expose()).send().await.unwrap();
    assert_eq!(refused.status(), 428);
    assert_eq!(*server.api.asked.lock().unwrap(), ["change main \"1\""]);
}

#[tokio::test]
async fn unknown_fields_and_routes_are_refused_by_name() {
    let server = start().await;
    let client = Client::new(&server.address, server.token.clone()).unwrap();
    let body = serde_json::json!({"name": "a", "url": "memory:", "colour": "red"});
    let refused = problem(client.post::<_, Store>("/api/v1/stores", &body, None).await.unwrap_err());
    assert!(refused.detail.contains("colour"), "{}", refused.detail);
    let refused = problem(client.get::<Store>("/api/v1/nothing").await.unwrap_err());
    assert_eq!((refused.status, refused.code.as_str()), (404, "TM-API-0404"));
    let refused = problem(client.get::<List<Version>>("/api/v1/versions?colour=red").await.unwrap_err());
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn lists_come_in_pages_that_the_client_joins() {
    let server = start().await;
    let client = Client::new(&server.address, server.token.clone()).unwrap();
    let page: List<Store> = client.get("/api/v1/stores?page_size=2").await.unwrap();
    assert_eq!(page.items.len(), 2);
    let token = page.next_page_token.unwrap();
    let rest: List<Store> = client.get(&format!("/api/v1/stores?page_size=2&page_token={token}")).await.unwrap();
    assert_eq!((rest.items[0].name.as_str(), rest.next_page_token), ("c", None));
    let refused = problem(client.get::<List<Store>>("/api/v1/stores?page_token=%21").await.unwrap_err());
    assert_eq!((refused.status, refused.code.as_str()), (400, "TM-API-0413"));
    let all: List<Store> = client.get_all_by("/api/v1/stores", 2).await.unwrap();
    assert_eq!(all.items.iter().map(|store| store.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[tokio::test]
async fn problems_lead_to_their_page_which_needs_no_token() {
    let server = start().await;
    let client = Client::new(&server.address, ApiToken::generate(&Env::system())).unwrap();
    let refused = problem(client.get::<List<Store>>("/api/v1/stores").await.unwrap_err());
    let page = reqwest::get(format!("{}{}", server.address, refused.doc.unwrap())).await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().starts_with("# TM-API-0401"));
    let none = reqwest::get(format!("{}/errors/TM-NONE-0001", server.address)).await.unwrap();
    assert_eq!(none.status(), 404);
}

#[tokio::test]
async fn waiting_is_passed_on_and_bounded() {
    let server = start().await;
    let client = Client::new(&server.address, server.token.clone()).unwrap();
    client.get_waiting::<Operation>("/api/v1/operations/x", 7).await.unwrap();
    client.get_waiting::<Operation>("/api/v1/operations/x", 7000).await.unwrap();
    assert_eq!(*server.api.asked.lock().unwrap(), ["operation x 7", "operation x 60"]);
}

#[tokio::test]
async fn a_panic_is_a_failed_request_and_the_server_lives() {
    let server = start().await;
    let client = Client::new(&server.address, server.token.clone()).unwrap();
    assert!(client.get::<List<Source>>("/api/v1/sources").await.is_err());
    client.get::<List<Store>>("/api/v1/stores").await.unwrap();
}

#[test]
fn the_document_is_the_checked_in_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let stored = std::fs::read_to_string(path).unwrap();
    assert!(stored == openapi(), "docs/openapi.json is not what the code emits: see web/examples/openapi.rs");
}

#[tokio::test]
async fn of_several_servers_the_next_is_asked_where_one_cannot_be_reached() {
    let server = start().await;
    // Nobody listens on the one, and the other hangs up on everybody.
    let (nobody, silent) = (unused().await, hangs_up().await);
    for first in [&nobody, &silent] {
        let both = format!("{first}, {}/", server.address);
        let client = Client::new(&both, server.token.clone()).unwrap();
        let cluster: Cluster = client.get("/api/v1/cluster").await.unwrap();
        assert_eq!(cluster.generation, "1");
        let client = Client::new(&both, server.token.clone()).unwrap();
        let path = "/api/v1/policies/daily/run";
        client.post::<_, Operation>(path, &serde_json::json!({}), Some("k1")).await.unwrap();
        // What may have reached one is not asked of another, where it must not be made twice.
        let client = Client::new(&both, server.token.clone()).unwrap();
        let once = client.post::<_, Cluster>("/api/v1/cluster/nodes/a/drain", &serde_json::json!({}), None).await;
        assert_eq!(once.is_ok(), *first == nobody, "{first}");
    }
    let neither = Client::new(&format!("{nobody},{silent}"), server.token.clone()).unwrap();
    let error = neither.get::<Cluster>("/api/v1/cluster").await.unwrap_err();
    assert!(matches!(&error, client::Error::Unreachable { url, .. } if url.contains(&nobody) && url.contains(&silent)));
    assert!(matches!(Client::new(" , ", server.token.clone()), Err(client::Error::Nowhere)));
}

/// The address of a server that is not there.
async fn unused() -> String {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", socket.local_addr().unwrap())
}

/// The address of a server that reads what is asked and answers nothing.
async fn hangs_up() -> String {
    use tokio::io::AsyncReadExt as _;

    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = socket.accept().await {
            let _ = caller.read(&mut [0; 1024]).await;
        }
    });
    address
}
