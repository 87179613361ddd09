use proptest::prelude::*;

use super::*;
use crate::raw::{Builder, samples};

fn id(kind: u8, value: &[u8]) -> Id {
    Id { kind, value: value.to_vec() }
}

fn text(text: &str) -> Id {
    id(kind::STRING, &[&(text.len() as i32 + 1).to_le_bytes()[..], text.as_bytes(), &[0]].concat())
}

fn bytes(id: &Id) -> Vec<u8> {
    id.sort_bytes().unwrap()
}

fn document(builder: Builder) -> Id {
    id(kind::DOCUMENT, &builder.finish())
}

/// As "Comparison/Sort Order" of the server's manual has it; constructed.
#[test]
fn types_order_by_their_classes_and_values_within() {
    let ascending = [
        id(kind::MIN_KEY, &[]),
        id(kind::NULL, &[]),
        id(kind::DOUBLE, &(-1e300_f64).to_le_bytes()),
        id(kind::INT32, &(-1_i32).to_le_bytes()),
        id(kind::INT64, &2_i64.to_le_bytes()),
        text(""),
        text("\0"),
        text("\0a"),
        text("a"),
        text("a\0"),
        text("ab"),
        text("b"),
        text("ü"),
        document(Builder::default()),
        document(Builder::default().int("a", 1)),
        document(Builder::default().int("a", 1).int("a", 1)),
        document(Builder::default().int("a", 2)),
        document(Builder::default().int("b", 0)),
        document(Builder::default().text("a", "")),
        id(kind::BINARY, &[1, 0, 0, 0, 0, 9]),
        id(kind::BINARY, &[1, 0, 0, 0, 4, 0]),
        id(kind::BINARY, &[2, 0, 0, 0, 0, 0, 0]),
        id(kind::OBJECT_ID, &[1; 12]),
        id(kind::OBJECT_ID, &[2; 12]),
        id(kind::BOOLEAN, &[0]),
        id(kind::BOOLEAN, &[1]),
        id(kind::DATE, &(-1_i64).to_le_bytes()),
        id(kind::DATE, &1_i64.to_le_bytes()),
        id(kind::TIMESTAMP, &(u64::from(u32::MAX) << 32).to_le_bytes()),
        id(kind::REGEX, b"a\0\0"),
        id(kind::CODE, &text("a").value),
        id(kind::MAX_KEY, &[]),
    ];
    for pair in ascending.windows(2) {
        assert!(bytes(&pair[0]) < bytes(&pair[1]), "{pair:?}");
    }
}

#[test]
fn equal_numbers_of_two_types_are_two_keys_beside_each_other() {
    let (one, same) = (id(kind::INT32, &1_i32.to_le_bytes()), id(kind::DOUBLE, &1_f64.to_le_bytes()));
    let (one, same) = (bytes(&one), bytes(&same));
    assert_ne!(one, same);
    for other in [id(kind::DOUBLE, &0.999_f64.to_le_bytes()), id(kind::INT64, &2_i64.to_le_bytes())] {
        let other = bytes(&other);
        assert_eq!(other < one, other < same);
    }
    let zeros = [id(kind::DOUBLE, &0_f64.to_le_bytes()), id(kind::DOUBLE, &(-0_f64).to_le_bytes())];
    assert_ne!(bytes(&zeros[0]), bytes(&zeros[1]));
}

#[test]
fn the_id_of_a_document_comes_back_and_is_named() {
    let document = samples::every_type(5);
    let found = Id::of(&document).unwrap();
    assert_eq!((found.to_string().as_str(), Id::from_bytes(&found.to_bytes())), ("5", Some(found.clone())));
    assert_eq!(Id::of(&Builder::default().int("a", 1).finish()), Err(Error::None));
    assert!(text(&"x".repeat(500)).to_string().len() < 150);
}

#[test]
fn an_id_of_levels_without_end_is_refused() {
    let deep = (0..MAX_DEPTH + 2)
        .fold(Builder::default().finish(), |inner, _| Builder::default().document("d", &inner).finish());
    assert_eq!(id(kind::DOCUMENT, &deep).sort_bytes(), Err(raw::Error::Depth));
}

proptest! {
    #[test]
    fn other_ids_are_other_keys_and_none_begins_another((ka, a) in samples::value(), (kb, b) in samples::value()) {
        let (one, other) = (id(ka, &a), id(kb, &b));
        let (x, y) = (bytes(&one), bytes(&other));
        prop_assert_eq!(one == other, x == y);
        prop_assert!(one == other || !(x.starts_with(&y) || y.starts_with(&x)));
    }

    #[test]
    fn texts_order_as_their_bytes_do(a in "[\0a-c]{0,4}", b in "[\0a-c]{0,4}") {
        prop_assert_eq!(bytes(&text(&a)).cmp(&bytes(&text(&b))), a.cmp(&b));
    }

    #[test]
    fn no_bytes_make_it_panic(kind: u8, value in proptest::collection::vec(any::<u8>(), 0..40)) {
        let id = id(kind, &value);
        let _ = (id.sort_bytes(), id.to_string());
    }
}
