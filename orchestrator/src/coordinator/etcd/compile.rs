//! Transactions in etcd's terms.
//!
//! etcd refuses a transaction that changes a key twice. Of several changes of a key only the last one is sent; a get between them is
//! answered from what was asked for, and from the key as it was before.

use std::collections::HashMap;

use super::{
    super::{Cmp, Kv, LeaseId, Op, Revision},
    keys::Keys,
    proto::{
        Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RequestOp, ResponseOp,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request,
        response_op::Response,
    },
};

/// A list of operations as it is sent, and where the answers of its gets are.
pub(super) struct Branch {
    /// What is sent.
    pub(super) ops: Vec<RequestOp>,
    /// True where it changes anything.
    pub(super) writes: bool,
    gets: Vec<Get>,
}

/// Where the answer of a get comes from.
enum Get {
    /// The response at this place.
    Sent(usize),
    /// A put that was not sent; the response at this place is the key as it was before.
    Between { before: usize, key: String, value: Vec<u8>, lease: Option<LeaseId> },
    /// A delete that was not sent.
    Gone,
}

impl Branch {
    pub(super) fn new(ops: &[Op], keys: &Keys) -> Self {
        let last = last_changes(ops);
        let mut branch = Self { ops: Vec::new(), writes: !last.is_empty(), gets: Vec::new() };
        let before = branch.read_before(ops, &last, keys);
        let mut unsent: HashMap<&str, &Op> = HashMap::new();
        for (at, op) in ops.iter().enumerate() {
            match op {
                Op::Get(key) => {
                    let get = match unsent.get(key.as_str()) {
                        None => branch.send(read(keys.full(key))),
                        Some(Op::Put { value, lease, .. }) => {
                            let before = before.get(key.as_str()).copied().unwrap_or_default();
                            Get::Between { before, key: key.clone(), value: value.clone(), lease: *lease }
                        }
                        Some(_) => Get::Gone,
                    };
                    branch.gets.push(get);
                }
                change if last.get(change.key()) == Some(&at) => {
                    unsent.remove(change.key());
                    branch.send(change_request(change, keys));
                }
                change => drop(unsent.insert(change.key(), change)),
            }
        }
        branch
    }

    /// True where it has gets.
    pub(super) fn reads(&self) -> bool {
        !self.gets.is_empty()
    }

    /// Reads what is changed twice as it is before; the places of the answers.
    fn read_before<'a>(&mut self, ops: &'a [Op], last: &HashMap<&str, usize>, keys: &Keys) -> HashMap<&'a str, usize> {
        let mut places = HashMap::new();
        for (at, op) in ops.iter().enumerate() {
            let key = op.key();
            if !matches!(op, Op::Get(_)) && last.get(key) != Some(&at) && !places.contains_key(key) {
                places.insert(key, self.ops.len());
                self.send(read(keys.full(key)));
            }
        }
        places
    }

    fn send(&mut self, request: Request) -> Get {
        self.ops.push(RequestOp { request: Some(request) });
        Get::Sent(self.ops.len() - 1)
    }

    /// Answers of the gets from those of etcd to a transaction of this revision; `None` where they are not what was asked for.
    pub(super) fn answers(&self, responses: &[ResponseOp], revision: Revision, keys: &Keys) -> Option<Vec<Option<Kv>>> {
        let at = |place: usize| match &responses.get(place)?.response {
            Some(Response::ResponseRange(range)) => Some(range.kvs.first().and_then(|kv| decode(kv, keys))),
            _ => None,
        };
        let answer = |get: &Get| match get {
            Get::Sent(place) => at(*place),
            Get::Between { before, key, value, lease } => {
                let create_revision = at(*before)?.map_or(revision, |kv| kv.create_revision);
                let (key, value, lease) = (key.clone(), value.clone(), *lease);
                Some(Some(Kv { key, value, create_revision, mod_revision: revision, lease }))
            }
            Get::Gone => Some(None),
        };
        self.gets.iter().map(answer).collect()
    }
}

/// The place of the last change of each key.
fn last_changes(ops: &[Op]) -> HashMap<&str, usize> {
    let changes = ops.iter().enumerate().filter(|(_, op)| !matches!(op, Op::Get(_)));
    changes.map(|(at, op)| (op.key(), at)).collect()
}

fn read(key: Vec<u8>) -> Request {
    Request::RequestRange(RangeRequest { key, range_end: Vec::new(), limit: 0 })
}

fn change_request(op: &Op, keys: &Keys) -> Request {
    match op {
        Op::Put { key, value, lease } => Request::RequestPut(PutRequest {
            key: keys.full(key),
            value: value.clone(),
            lease: lease.map_or(0, |lease| lease.0.cast_signed()),
        }),
        Op::Delete(key) => Request::RequestDeleteRange(DeleteRangeRequest { key: keys.full(key) }),
        Op::Get(key) => read(keys.full(key)),
    }
}

/// A condition; `generation` is the key of the stored generation.
pub(super) fn compare(cmp: &Cmp, keys: &Keys, generation: &str) -> Compare {
    let created = |key: &str, revision: Revision| {
        equal(keys.full(key), CompareTarget::Create, TargetUnion::CreateRevision(revision.cast_signed()))
    };
    let has = |key: &str, value: &[u8]| equal(keys.full(key), CompareTarget::Value, TargetUnion::Value(value.to_vec()));
    match cmp {
        Cmp::CreateRevision(key, revision) => created(key, *revision),
        Cmp::ModRevision(key, revision) => {
            equal(keys.full(key), CompareTarget::Mod, TargetUnion::ModRevision(revision.cast_signed()))
        }
        Cmp::Value(key, value) => has(key, value),
        // A generation that was never raised is not stored.
        Cmp::Generation(0) => created(generation, 0),
        Cmp::Generation(number) => has(generation, number.to_string().as_bytes()),
    }
}

fn equal(key: Vec<u8>, target: CompareTarget, union: TargetUnion) -> Compare {
    Compare { result: CompareResult::Equal.into(), target: target.into(), key, target_union: Some(union) }
}

/// A key of this cluster's; `None` for a foreign one.
pub(super) fn decode(kv: &KeyValue, keys: &Keys) -> Option<Kv> {
    Some(Kv {
        key: keys.own(&kv.key)?,
        value: kv.value.clone(),
        create_revision: kv.create_revision.cast_unsigned(),
        mod_revision: kv.mod_revision.cast_unsigned(),
        lease: (kv.lease != 0).then_some(LeaseId(kv.lease.cast_unsigned())),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::proto::RangeResponse, *};

    fn sent(ops: &[Op]) -> (Branch, Vec<&'static str>) {
        let branch = Branch::new(ops, &Keys::new("c"));
        let kinds = branch.ops.iter().map(|op| match op.request.as_ref().unwrap() {
            Request::RequestRange(_) => "read",
            Request::RequestPut(_) => "put",
            Request::RequestDeleteRange(_) => "delete",
            Request::RequestTxn(_) => "txn",
        });
        let kinds = kinds.collect();
        (branch, kinds)
    }

    fn found(kv: Option<KeyValue>) -> ResponseOp {
        let range = RangeResponse { kvs: kv.into_iter().collect(), ..RangeResponse::default() };
        ResponseOp { response: Some(Response::ResponseRange(range)) }
    }

    #[test]
    fn of_several_changes_of_a_key_only_the_last_is_sent() {
        let (_, kinds) = sent(&[Op::delete("a"), Op::put("b", ""), Op::put("a", "1")]);
        assert_eq!(kinds, ["read", "put", "put"]);
        assert_eq!(sent(&[Op::put("a", ""), Op::delete("a")]).1, ["read", "delete"]);
        assert!(!sent(&[Op::Get("a".to_owned())]).0.writes);
    }

    #[test]
    fn a_get_between_changes_is_answered_from_what_was_asked_for() {
        let ops =
            [Op::put("a", "1"), Op::Get("a".to_owned()), Op::delete("a"), Op::Get("a".to_owned()), Op::put("a", "2")];
        let (branch, kinds) = sent(&[ops.as_slice(), &[Op::Get("a".to_owned())]].concat());
        assert_eq!(kinds, ["read", "put", "read"]);
        let keys = Keys::new("c");
        let kv = |value: &str, modified| KeyValue {
            key: keys.full("a"),
            value: value.into(),
            create_revision: 3,
            mod_revision: modified,
            ..KeyValue::default()
        };
        let put = ResponseOp { response: None };
        let answers = branch.answers(&[found(Some(kv("0", 5))), put, found(Some(kv("2", 9)))], 9, &keys).unwrap();
        let seen =
            |at: usize| answers[at].as_ref().map(|kv| (kv.value.as_slice(), kv.create_revision, kv.mod_revision));
        assert_eq!(seen(0), Some((b"1".as_slice(), 3, 9)));
        assert_eq!(seen(1), None);
        assert_eq!(seen(2), Some((b"2".as_slice(), 3, 9)));
        assert!(branch.answers(&[], 9, &keys).is_none());
    }

    #[test]
    fn a_generation_that_was_never_raised_is_not_stored() {
        let keys = Keys::new("c");
        let zero = compare(&Cmp::Generation(0), &keys, "~/generation");
        assert_eq!(zero.target_union, Some(TargetUnion::CreateRevision(0)));
        let two = compare(&Cmp::Generation(2), &keys, "~/generation");
        assert_eq!((two.key, two.target_union), (keys.full("~/generation"), Some(TargetUnion::Value(b"2".to_vec()))));
    }
}
