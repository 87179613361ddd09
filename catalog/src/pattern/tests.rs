use proptest::prelude::*;

use super::*;
use crate::ids::ObjectName;

fn matches(pattern: &str, name: &[&str]) -> bool {
    pattern.parse::<Pattern>().unwrap().matches(name)
}

#[test]
fn a_star_stays_within_its_part() {
    for (pattern, name, expected) in [
        ("ks/orders", "ks/orders", true),
        ("ks/*", "ks/orders", true),
        ("*/*", "ks/orders", true),
        ("*", "ks/orders", false),
        ("ks/*", "ks", false),
        ("ks/o*r*s", "ks/orders", true),
        ("ks/o*x", "ks/orders", false),
        ("k*/**s", "ks/orders", true),
        ("**/orders", "ks/orders", true),
        ("**", "ks/orders", false),
        ("k/orders", "ks/orders", false),
        ("ks/Orders", "ks/orders", false),
        ("ks/ab*ba", "ks/aba", false),
        ("ks/a*b*c", "ks/aXbYbZc", true),
        ("ks/*o*o*", "ks/foo", true),
        ("ks/*o*o*", "ks/fo", false),
        ("ks/.*", "ks/.hidden", true),
    ] {
        assert_eq!(matches(pattern, &name.split('/').collect::<Vec<_>>()), expected, "{pattern} {name}");
    }
}

#[test]
fn characters_brackets_and_braces_match_and_a_backslash_takes_their_meaning() {
    for (pattern, table, expected) in [
        ("ks/log_?", "log_1", true),
        ("ks/log_?", "log_12", false),
        ("ks/log_[0-9]", "log_1", true),
        ("ks/log_[!0-9]", "log_1", false),
        ("ks/[]]", "]", true),
        ("ks/[[]", "[", true),
        ("ks/[a:]", ":", true),
        (r"ks/[\]", r"\", true),
        (r"ks/[\]]", r"\]", true),
        (r"ks/[\]]", "]", false),
        ("ks/{orders,clicks}", "clicks", true),
        ("ks/{orders,clicks}", "click", false),
        ("ks/a{,_old}", "a", true),
        ("ks/{ä,ö}*", "öl", true),
        (r"ks/\*", "*", true),
        (r"ks/\*", "orders", false),
        (r"ks/\[a\]", "[a]", true),
        (r"ks/\{a,b\}", "{a,b}", true),
        (r"ks/\\", r"\", true),
        (r"ks/\o", "o", true),
    ] {
        assert_eq!(matches(pattern, &["ks", table]), expected, "{pattern} {table}");
    }
}

#[test]
fn names_match_by_their_text_and_by_what_is_printed() {
    for (pattern, table, expected) in [
        ("ks/a b", "a b", true),
        ("ks/a%20b", "a b", true),
        ("ks/a%20b", "a%20b", false),
        (r"ks/a\%20b", "a%20b", true),
        ("ks/%C3%A4*", "älter", true),
        ("ks/ä*", "älter", true),
        ("ks/%2A", "*", true),
        ("ks/%2A", "orders", false),
        ("ks/a%2Fb", "a/b", true),
        ("ks/a*b", "a/b", true),
        ("ks/[%]", "%", true),
    ] {
        assert_eq!(matches(pattern, &["ks", table]), expected, "{pattern} {table}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_the_reason() {
    for (pattern, reason) in [
        ("", "has an empty part"),
        ("ks/", "has an empty part"),
        ("/orders", "has an empty part"),
        ("ks//orders", "has an empty part"),
        ("ks/[a", "unclosed character class"),
        ("ks/[b-a]", "invalid range"),
        ("ks/{a", "unclosed alternate group"),
        ("ks/a}", "unopened alternate group"),
        ("{ks/a}", "unclosed alternate group"),
        (r"ks/a\", "dangling"),
        (r"ks\/a", "dangling"),
        ("ks/50%", "percent-encoded"),
        ("ks/%4", "percent-encoded"),
        ("ks/%+1", "percent-encoded"),
        ("ks/%C3", "percent-encoded"),
        ("ks/[ä]", "beyond ASCII"),
        ("ks/[[:digit:]]", "named classes are not known"),
        ("ks/[![:digit:]]", "named classes are not known"),
    ] {
        let error = pattern.parse::<Pattern>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{pattern:?}")) && error.contains(reason), "{pattern}: {error}");
    }
}

#[test]
fn a_pattern_that_is_too_long_is_refused_and_one_that_is_not_may_nest_to_its_end() {
    let nested = |depth| format!("{}{}", "{".repeat(depth), "}".repeat(depth)).parse::<Pattern>();
    assert!(matches!(nested(MAX_BYTES / 2 + 1), Err(Error::TooLong(_))));
    // Whether that deep is deep is the crate's to say: it must come to an answer.
    let _ = nested(MAX_BYTES / 2);
}

#[test]
fn patterns_know_which_of_them_match_nothing() {
    let patterns = Patterns::parse(&["shop/*".to_owned(), "*/audit_*".to_owned()]).unwrap();
    assert!(patterns.matches(&["shop", "orders"]) && patterns.matches(&["bank", "audit_1"]));
    assert!(!patterns.matches(&["bank", "orders"]));
    assert!(patterns.touches("bank") && !patterns.is_empty());
    assert_eq!(patterns.unmatched(&[["shop", "orders"]]), ["*/audit_*"]);
    assert!(Patterns::parse(&["shop/*".to_owned(), "shop/[".to_owned()]).is_err());
}

#[test]
fn what_is_excluded_never_matches() {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let patterns = Patterns::parse(&texts(&["shop/*", "bank/*"])).unwrap().without(&texts(&["*/tmp_*"])).unwrap();
    assert!(patterns.matches(&["shop", "orders"]) && patterns.matches(&["bank", "orders"]));
    assert!(!patterns.matches(&["shop", "tmp_1"]) && !patterns.matches(&["other", "orders"]));
    assert!(patterns.touches("shop") && !patterns.touches("other"));
    let given: Vec<_> = patterns.iter().map(Pattern::to_string).collect();
    assert_eq!(given, ["shop/*", "bank/*", "*/tmp_*"]);
    assert_eq!(patterns.unmatched(&[["shop", "orders"]]), ["bank/*"], "that nothing is excluded is nothing to tell");
    assert!(Patterns::parse(&[]).unwrap().without(&texts(&["a/*"])).unwrap().is_empty());
    assert!(Patterns::parse(&texts(&["shop/*"])).unwrap().without(&texts(&["shop/["])).is_err());
}

proptest! {
    #[test]
    fn a_printed_name_is_the_pattern_of_this_name(parts in prop::collection::vec(".{1,6}", 1..4), other in ".{1,6}") {
        let name = ObjectName::new(parts.clone()).unwrap();
        let pattern: Pattern = name.to_string().parse().unwrap();
        prop_assert!(pattern.matches(&parts) && pattern.to_string() == name.to_string());
        let others = [&parts[..parts.len() - 1], &[other]].concat();
        prop_assert_eq!(pattern.matches(&others), others == parts);
    }
}

#[test]
fn a_pattern_that_an_exclude_leaves_nothing_of_is_found() {
    let shadowed = |any: &[&str], none: &[&str]| {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let patterns = Patterns::parse(&texts(any)).unwrap().without(&texts(none)).unwrap();
        patterns.shadowed().map(|(own, by)| format!("{own} by {by}"))
    };
    for (any, none, found) in [
        ("ks/a", "ks/a", "ks/a by ks/a"),
        ("ks/a", "ks/*", "ks/a by ks/*"),
        ("ks/*", "*/*", "ks/* by */*"),
        ("ks/tmp_1", "ks/tmp_[0-9]", "ks/tmp_1 by ks/tmp_[0-9]"),
        ("ks/{a,b}", "ks/{a,b}", "ks/{a,b} by ks/{a,b}"),
    ] {
        assert_eq!(shadowed(&[any], &[none]).as_deref(), Some(found));
        assert_eq!(shadowed(&["x/y/z", any], &["no/no", none]).as_deref(), Some(found));
    }
    // What is left over, or cannot be told so simply.
    for (any, none) in [
        ("ks/%61", "ks/a"),
        ("ks/*", "ks/a"),
        ("ks/a", "k/*"),
        ("ks/a", "ks/a/b"),
        ("ks/{a,b}", "ks/[ab]"),
        ("ks/\\*", "ks/a"),
    ] {
        assert_eq!(shadowed(&[any], &[none]), None, "{any} without {none}");
    }
}
