//! What a job says of its partitions: which of them are merged, which are left out of the state, and why.

use serde_json::Value;
use tidemark_catalog::{
    entry::{LeftOut, Replica, ReplicaState},
    slice::{SliceManifest, SliceObject},
};

use super::ConsolidateJob;

impl ConsolidateJob {
    /// The slices that are merged, in the job's order, each with what it holds of the object; `None` where the partition was
    /// captured and has no such object. Partitions that are left out are not among them.
    pub fn merged(&self) -> impl Iterator<Item = (&SliceManifest, Option<&SliceObject>)> {
        let read = self.slices.iter().filter(|slice| self.unreadable_of(slice).is_none());
        read.map(|slice| (slice, self.object_in(slice)))
    }

    /// Why the partition of a slice is left out, for people: an earlier call could not read what it staged, or its listener could
    /// not read the object. `None` where it is merged.
    pub fn unreadable_of<'a>(&'a self, slice: &'a SliceManifest) -> Option<&'a str> {
        let earlier = self.unreadable.get(&slice.partition);
        earlier.or_else(|| self.object_in(slice)?.unreadable.as_ref()).map(String::as_str)
    }

    /// What became of each partition, sorted by partition, as [`ObjectState::replicas`](super::ObjectState::replicas) wants it;
    /// `own` is null.
    pub fn replicas(&self) -> Vec<Replica> {
        let captured = self.slices.iter().map(|slice| {
            let unreadable = |reason: &str| ReplicaState::Unreadable { reason: reason.to_owned() };
            (&slice.partition, self.unreadable_of(slice).map_or(ReplicaState::Captured, unreadable))
        });
        let absent = self.absent.iter().map(|(partition, reason)| {
            let reason = reason.clone();
            (partition, ReplicaState::Absent { reason })
        });
        let replica =
            |(partition, state): (&String, _)| Replica { partition: partition.clone(), state, own: Value::Null };
        let mut replicas: Vec<_> = captured.chain(absent).map(replica).collect();
        replicas.sort_by(|a, b| a.partition.cmp(&b.partition));
        replicas
    }

    /// The partitions that were captured and are left out, sorted, as [`ObjectState::left_out`](super::ObjectState::left_out)
    /// wants them; `place` is empty.
    pub fn left_out(&self) -> Vec<LeftOut> {
        let left_out = |slice: &SliceManifest| {
            let reason = self.unreadable_of(slice)?.to_owned();
            Some(LeftOut { partition: slice.partition.clone(), place: String::new(), reason })
        };
        let mut all: Vec<_> = self.slices.iter().filter_map(left_out).collect();
        all.sort_by(|a, b| a.partition.cmp(&b.partition));
        all
    }

    fn object_in<'a>(&self, slice: &'a SliceManifest) -> Option<&'a SliceObject> {
        slice.objects.iter().find(|object| object.object == self.object)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use jiff::Timestamp;
    use object_store::{memory::InMemory, path::Path};
    use serde_json::json;
    use tidemark_catalog::{ids::FencingToken, names::Names, stored::StoredRef};
    use tidemark_gateway::{Env, Stored};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{progress, records::ConsolidateLimits};

    const TOKEN: FencingToken = FencingToken { generation: 1, revision: 1 };

    /// The slice of a partition with these objects, each readable or not.
    fn slice(partition: &str, objects: &[(&str, Option<&str>)]) -> SliceManifest {
        let object = |(name, unreadable): &(&str, Option<&str>)| SliceObject {
            object: name.parse().unwrap(),
            object_id: "1".to_owned(),
            unreadable: unreadable.map(str::to_owned),
            files: Vec::new(),
        };
        SliceManifest {
            source: "s".parse().unwrap(),
            task: "t".parse().unwrap(),
            token: TOKEN,
            partition: partition.to_owned(),
            started: Timestamp::UNIX_EPOCH,
            finished: Timestamp::UNIX_EPOCH,
            objects: objects.iter().map(object).collect(),
            info: StoredRef::new(&Path::from("info"), Stored::of(b"")),
        }
    }

    fn job(slices: Vec<SliceManifest>) -> ConsolidateJob {
        let source: tidemark_catalog::ids::SourceId = "s".parse().unwrap();
        ConsolidateJob {
            source: source.clone(),
            object: "ks/a".parse().unwrap(),
            slices: Arc::new(slices),
            absent: Arc::new(vec![("b".to_owned(), "away".to_owned())]),
            unreadable: BTreeMap::from([("d".to_owned(), "a bit fell".to_owned())]),
            previous: None,
            store: Arc::new(InMemory::new()),
            names: Arc::new(Names::new(source, TOKEN)),
            options: json!({}),
            limits: ConsolidateLimits::default(),
            env: Env::seeded(1, Timestamp::UNIX_EPOCH),
            progress: progress::silent(),
            cancel: CancellationToken::new(),
        }
    }

    #[test]
    fn every_partition_is_named_and_only_what_can_be_read_is_merged() {
        let job = job(vec![
            slice("d", &[("ks/a", None)]),
            slice("c", &[("ks/a", Some("no rights")), ("ks/b", None)]),
            slice("a", &[("ks/a", None), ("ks/b", Some("no rights"))]),
            slice("e", &[("ks/b", None)]),
        ]);
        let merged: Vec<_> = job.merged().map(|(slice, held)| (slice.partition.as_str(), held.is_some())).collect();
        assert_eq!(merged, [("a", true), ("e", false)]);
        let states: Vec<_> = job.replicas().into_iter().map(|r| format!("{} {}", r.partition, r.state)).collect();
        let expected =
            ["a captured", "b absent: away", "c unreadable: no rights", "d unreadable: a bit fell", "e captured"];
        assert_eq!(states, expected);
        let left_out: Vec<_> = job.left_out().iter().map(ToString::to_string).collect();
        assert_eq!(left_out, ["c: no rights", "d: a bit fell"]);
    }
}
