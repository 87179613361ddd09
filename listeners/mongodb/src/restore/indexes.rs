//! Indexes of a restored collection: as they were, but for what a server fills in by itself.

use crate::{
    options::Ttl,
    raw::{self, Builder},
    staged::{Index, Schema},
};

/// Fields that servers list and do not take back, or that only say where the index was.
const DROPPED: [&[u8]; 2] = [b"ns", b"background"];

/// The time after which documents go.
const EXPIRES: &[u8] = b"expireAfterSeconds";

/// Names of the indexes that let documents expire.
pub(super) fn expiring(schema: &Schema) -> Vec<&str> {
    let expires = |index: &&Index| has(index.specification.as_bytes(), EXPIRES);
    schema.indexes.iter().filter(expires).map(|index| index.name.as_str()).collect()
}

/// The specifications to make, each with its name, all but those that come with the collection.
pub(super) fn wanted(schema: &Schema, ttl: Ttl) -> Vec<(&str, Vec<u8>)> {
    let collated = has(schema.options.as_bytes(), b"collation");
    let made = |index: &&Index| index.name != "_id_" && !has(index.specification.as_bytes(), b"clustered");
    let indexes = schema.indexes.iter().filter(made);
    indexes.map(|index| (index.name.as_str(), specification(index.specification.as_bytes(), ttl, collated))).collect()
}

fn specification(stored: &[u8], ttl: Ttl, collated: bool) -> Vec<u8> {
    let mut builder = Builder::default();
    for element in raw::elements(stored).map_while(Result::ok) {
        let expires = element.name == EXPIRES && ttl == Ttl::Strip;
        if !expires && !DROPPED.contains(&element.name) {
            builder.push(element);
        }
    }
    if collated && !has(stored, b"collation") {
        // A server leaves out the simple collation; left out, it would be the collection's.
        builder = builder.document("collation", &Builder::default().text("locale", "simple").finish());
    }
    builder.finish()
}

fn has(document: &[u8], name: &[u8]) -> bool {
    raw::elements(document).map_while(Result::ok).any(|element| element.name == name)
}

#[cfg(test)]
mod tests {
    use tidemark_catalog::opaque::Opaque;

    use super::*;

    fn schema(options: Builder, indexes: Vec<(&str, Builder)>) -> Schema {
        let index = |(name, builder): (&str, Builder)| Index {
            name: name.to_owned(),
            specification: Opaque::new(builder.text("name", name).finish()),
        };
        Schema { options: Opaque::new(options.finish()), indexes: indexes.into_iter().map(index).collect() }
    }

    #[test]
    fn what_an_index_is_stays_and_what_a_server_adds_goes() {
        let own = || Builder::default().int("v", 2).truth("hidden", true).truth("prepareUnique", true);
        let stored = own().text("ns", "a.b").truth("background", true).int("expireAfterSeconds", 5);
        let schema =
            schema(Builder::default(), vec![("_id_", own()), ("c", own().truth("clustered", true)), ("t", stored)]);
        assert_eq!(expiring(&schema), ["t"]);
        let kept = own().int("expireAfterSeconds", 5).text("name", "t").finish();
        assert_eq!(wanted(&schema, Ttl::Keep), [("t", kept)]);
        assert_eq!(wanted(&schema, Ttl::Strip), [("t", own().text("name", "t").finish())]);
    }

    #[test]
    fn an_index_without_collation_in_a_collection_with_one_stays_simple() {
        let collated = Builder::default().document("collation", &Builder::default().text("locale", "de").finish());
        let schema = schema(collated, vec![("t", Builder::default().int("v", 2))]);
        let simple = Builder::default().text("locale", "simple").finish();
        let expected = Builder::default().int("v", 2).text("name", "t").document("collation", &simple).finish();
        assert_eq!(wanted(&schema, Ttl::Keep), [("t", expected)]);
    }
}
