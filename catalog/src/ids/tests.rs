use proptest::prelude::*;

use super::*;

fn round<T: FromStr<Err = ParseError> + fmt::Display + Serialize + for<'a> Deserialize<'a> + PartialEq>(
    value: &T,
) -> bool {
    let json = serde_json::to_string(value).unwrap();
    serde_json::from_str::<T>(&json).unwrap() == *value
        && value.to_string().parse::<T>().is_ok_and(|parsed| parsed == *value)
}

#[test]
fn hostile_names_are_refused() {
    let long = "a".repeat(64);
    for name in ["", ".", "..", "-a", "A", "a b", "a/b", "a\\b", "a\0", "a\n", "ä", "a.b", "a%2F", "*", &long] {
        assert!(name.parse::<SourceId>().is_err(), "{name:?}");
        assert!(serde_json::from_value::<TaskId>(name.into()).is_err(), "{name:?}");
    }
    assert!("a".repeat(63).parse::<SourceId>().is_ok());
}

#[test]
fn tokens_order_by_generation_then_revision_as_numbers_and_as_text() {
    let token = |generation, revision| FencingToken { generation, revision };
    let ascending = [token(1, 2), token(1, 10), token(2, 0), token(10, u64::MAX), token(11, 1)];
    assert!(ascending.is_sorted() && ascending.map(|token| token.to_string()).is_sorted());
    let greatest = token(FencingToken::GREATEST_GENERATION, 0);
    assert_eq!(greatest.to_string().parse(), Ok(greatest));
    for text in ["", "1", "1-", "-1", "a-b", "1-2-3", "1-18446744073709551616", "+1-2", "1- 2", "10000000000-1"] {
        assert!(text.parse::<FencingToken>().is_err(), "{text}");
    }
}

#[test]
fn version_ids_have_three_parts_and_a_number_from_one() {
    assert!(round(&"a.b-1.18446744073709551615".parse::<VersionId>().unwrap()));
    for text in ["", "a.b", "a.b.0", "a.b.-1", "a.b.1.2", "A.b.1", "a..1", "a.b.x", "a.b.+1"] {
        assert!(text.parse::<VersionId>().is_err(), "{text}");
    }
}

#[test]
fn object_names_with_hostile_parts_stay_within_their_part() {
    for part in ["..", ".", "/", "a/b", "%", "%2F", "\0", "Ä", " ", "\\", "#1", "\u{202e}"] {
        let name = ObjectName::new([part, "t"]).unwrap();
        assert!(round(&name) && name.to_string().split('/').count() == 2, "{part:?}: {name}");
    }
    for text in ["", "/", "a/", "/a", "a//b", "%", "%2", "%GG", "%+1", "%FF"] {
        assert!(text.parse::<ObjectName>().is_err(), "{text}");
    }
    assert!(ObjectName::new(["a", ""]).is_err() && ObjectName::new(Vec::<String>::new()).is_err());
}

proptest! {
    #[test]
    fn names_round_trip(text in "[a-z0-9][a-z0-9-]{0,62}") {
        prop_assert!(round(&text.parse::<SourceId>().unwrap()));
    }

    #[test]
    fn tokens_round_trip(generation in 0..=FencingToken::GREATEST_GENERATION, revision: u64) {
        let token = FencingToken { generation, revision };
        prop_assert!(round(&token));
    }

    #[test]
    fn object_names_round_trip(parts in proptest::collection::vec("\\PC{1,12}", 1..4)) {
        let name = ObjectName::new(parts.clone()).unwrap();
        prop_assert!(round(&name));
        prop_assert_eq!(name.parts(), parts);
    }

    #[test]
    fn different_object_names_print_differently(a in "[a/%.]{1,4}", b in "[a/%.]{1,4}") {
        let (one, two) = (ObjectName::new([a.clone()]).unwrap(), ObjectName::new([b.clone()]).unwrap());
        prop_assert_eq!(a == b, one.to_string() == two.to_string());
    }

    #[test]
    fn any_text_parses_or_is_refused(text in "\\PC{0,30}") {
        let _ = text.parse::<ObjectName>().map(|name| assert!(round(&name)));
        let _ = text.parse::<VersionId>().map(|id| assert!(round(&id)));
        let _ = text.parse::<FencingToken>().map(|token| assert!(round(&token)));
        let _ = text.parse::<SetId>().map(|set| assert!(round(&set)));
    }
}
