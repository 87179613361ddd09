//! The conformance suite, on tables that were captured from real servers.

use async_trait::async_trait;
use serde_json::json;
use tidemark_catalog::entry::ObjectLine;
use tidemark_gateway::Env;
use tidemark_listener_core::conformance::{records, source};

use super::*;
use crate::{consolidate::tests::bench::Bench, segment::key};

struct Subject {
    driver: CassandraDriver,
    table: &'static str,
}

impl Subject {
    fn of(table: &'static str) -> Self {
        Self { driver: CassandraDriver::new(Env::system()), table }
    }

    async fn bench(&self) -> Bench {
        let mut bench = Bench::of(self.table, 3).await;
        bench.declared.repaired = true;
        bench
    }
}

impl source::Subject for Subject {
    fn source(&self) -> &dyn Source {
        &self.driver
    }

    fn spec(&self) -> Value {
        json!({
            "contact": ["127.0.0.1:9042"],
            "credentials": null,
            "nodes": [{
                "address": "127.0.0.1:9042",
                "data_directories": ["/var/lib/cassandra/data"],
                "nodetool": ["nodetool", "-h", "127.0.0.1"],
            }],
        })
    }

    fn wrong_specs(&self) -> Vec<(Value, &'static str)> {
        vec![(json!({"contact": 1}), "contact"), (json!({"contact": ["127.0.0.1:9042"], "nods": []}), "nods")]
    }

    fn uses(&self) -> Uses {
        Uses {
            programs: vec![["nodetool", "-h", "127.0.0.1"].map(str::to_owned).to_vec()],
            credentials: vec![],
            data: vec!["/var/lib/cassandra/data".into()],
            addresses: vec!["127.0.0.1:9042".to_owned()],
        }
    }

    fn options(&self) -> Vec<Value> {
        vec![json!({"write_level": "quorum", "repaired": true}), json!({"write_level": "local_one"})]
    }
}

#[async_trait]
impl records::Subject for Subject {
    fn source(&self) -> &dyn RecordSource {
        &self.driver
    }

    async fn job(&self) -> ConsolidateJob {
        self.bench().await.job()
    }

    async fn halves(&self) -> [KeyRange; 2] {
        let merged = self.bench().await.merged().await;
        let middle = merged[merged.len() / 2].0.token - 1;
        [key::range(i64::MIN, middle), key::range(middle, i64::MAX)]
    }

    async fn line(&self, job: ConsolidateJob, ranges: &[KeyRange]) -> Result<ObjectLine, Failure> {
        tidemark_records::consolidate::object(&self.driver, KIND, job, ranges).await
    }
}

#[tokio::test]
async fn it_is_a_source() {
    source::all(&Subject::of("kv")).await.unwrap();
}

#[tokio::test]
async fn it_is_a_source_of_records() {
    for table in ["kv", "orders", "types_plain"] {
        records::all(&Subject::of(table)).await.unwrap();
    }
}
