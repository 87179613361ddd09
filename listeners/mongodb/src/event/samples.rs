//! Events for tests, constructed in the shape of the stand-in's.

use crate::{
    key::Id,
    raw::{Builder, kind},
    time::ClusterTime,
    token::tests::stand_in,
};

/// An event of this kind about `shop.a`, with what else it holds.
pub(crate) fn event(what: &str, time: &str, number: i32, more: impl FnOnce(Builder) -> Builder) -> Vec<u8> {
    event_in("a", what, time, number, more)
}

/// An event of this kind about a collection of `shop`.
fn event_in(name: &str, what: &str, time: &str, number: i32, more: impl FnOnce(Builder) -> Builder) -> Vec<u8> {
    let time: ClusterTime = time.parse().unwrap();
    let builder = Builder::default()
        .document("_id", &stand_in(number))
        .text("operationType", what)
        .with(kind::TIMESTAMP, b"clusterTime", &time.bits().to_le_bytes())
        .with(kind::BINARY, b"collectionUUID", &[&[16, 0, 0, 0, 4][..], &[7; 16]].concat())
        .document("ns", &namespace(name));
    more(builder).finish()
}

fn namespace(collection: &str) -> Vec<u8> {
    Builder::default().text("db", "shop").text("coll", collection).finish()
}

/// A collection was renamed, and kept its UUID.
pub(crate) fn rename(time: &str, from: &str, to: &str) -> Vec<u8> {
    event_in(from, "rename", time, 1, |builder| builder.document("to", &namespace(to)))
}

/// The key of an event about a document.
fn key(builder: Builder, id: &Id) -> Builder {
    let mut key = Builder::default();
    key.push(id.element("_id"));
    builder.document("documentKey", &key.finish())
}

/// A document was inserted.
pub(crate) fn insert(time: &str, number: i32, document: &[u8]) -> Vec<u8> {
    let id = Id::of(document).unwrap();
    event("insert", time, number, |builder| key(builder.document("fullDocument", document), &id))
}

/// A document is gone.
pub(crate) fn delete(time: &str, number: i32, id: &Id) -> Vec<u8> {
    event("delete", time, number, |builder| key(builder, id))
}

/// A document changed in part.
pub(crate) fn update(time: &str, number: i32, id: &Id, description: &[u8]) -> Vec<u8> {
    event("update", time, number, |builder| key(builder, id).document("updateDescription", description))
}

/// Sets one field of a document.
pub(crate) fn set(time: &str, number: i32, id: &Id, field: &str, value: i32) -> Vec<u8> {
    let description = Builder::default()
        .document("updatedFields", &Builder::default().int(field, value).finish())
        .with(kind::ARRAY, b"removedFields", &Builder::default().finish())
        .finish();
    update(time, number, id, &description)
}
