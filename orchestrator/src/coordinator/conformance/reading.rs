//! Keys, values, revisions and lists.

use super::{
    super::{MAX_OPS, Op},
    Subject, delete, keys, put,
};

pub(super) async fn an_absent_key_is_none(Subject { coordinator: c, .. }: &Subject) {
    assert_eq!(c.get("a").await.unwrap(), None);
}

pub(super) async fn a_put_is_read_back_with_its_revisions(Subject { coordinator: c, .. }: &Subject) {
    let first = put(&**c, "a", "1").await;
    let second = put(&**c, "a", "2").await;
    let kv = c.get("a").await.unwrap().unwrap();
    assert_eq!((kv.key.as_str(), kv.value.as_slice(), kv.lease), ("a", b"2".as_slice(), None));
    assert_eq!((kv.create_revision, kv.mod_revision), (first, second));
    assert!(second > first && first > 0);
}

pub(super) async fn a_put_keeps_the_create_revision(Subject { coordinator: c, .. }: &Subject) {
    let first = put(&**c, "a", "1").await;
    for value in ["2", "3"] {
        put(&**c, "a", value).await;
        assert_eq!(c.get("a").await.unwrap().unwrap().create_revision, first);
    }
}

pub(super) async fn a_key_made_again_has_a_new_create_revision(Subject { coordinator: c, .. }: &Subject) {
    let first = put(&**c, "a", "1").await;
    let gone = delete(&**c, "a").await;
    assert_eq!(c.get("a").await.unwrap(), None);
    put(&**c, "a", "1").await;
    let again = c.get("a").await.unwrap().unwrap().create_revision;
    assert!(first < gone && gone < again, "{first} {gone} {again}");
}

pub(super) async fn revisions_rise_over_all_keys(Subject { coordinator: c, .. }: &Subject) {
    let revisions = [put(&**c, "b", "1").await, put(&**c, "a", "1").await, put(&**c, "c", "1").await];
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
}

pub(super) async fn values_of_any_bytes_come_back(Subject { coordinator: c, .. }: &Subject) {
    for (key, value) in [("none", vec![]), ("all", (0..=255).collect::<Vec<u8>>()), ("zeros", vec![0; 1000])] {
        c.txn(vec![], vec![Op::put(key, value.clone())], vec![]).await.unwrap();
        assert_eq!(c.get(key).await.unwrap().unwrap().value, value);
    }
}

pub(super) async fn names_of_any_text_are_told_apart_and_sorted_by_bytes(Subject { coordinator: c, .. }: &Subject) {
    let mut names = ["n/é", "n/e\u{301}", "n/a b", "n/\u{1}", "n/\u{10ffff}", "n/#", "n/A", "n/a", "n//", "n/日"];
    for name in names {
        put(&**c, name, name).await;
    }
    names.sort_unstable();
    assert_eq!(keys(&**c, "n/").await, names);
    for name in names {
        assert_eq!(c.get(name).await.unwrap().unwrap().value, name.as_bytes());
    }
}

pub(super) async fn lists_are_sorted_bounded_by_the_prefix_and_paged(Subject { coordinator: c, .. }: &Subject) {
    let mut last = 0;
    for key in ["p/b", "p/a", "q", "p/c", "o"] {
        last = put(&**c, key, "").await;
    }
    let (page, revision) = c.list("p/", 2, None).await.unwrap();
    assert_eq!(page.iter().map(|kv| kv.key.as_str()).collect::<Vec<_>>(), ["p/a", "p/b"]);
    assert_eq!(revision, last);
    for (after, rest) in
        [("p/b", vec!["p/c"]), ("p/aa", vec!["p/b", "p/c"]), ("a", vec!["p/a", "p/b"]), ("p/c", vec![])]
    {
        let (page, _) = c.list("p/", 2, Some(after)).await.unwrap();
        assert_eq!(page.iter().map(|kv| kv.key.as_str()).collect::<Vec<_>>(), rest, "after {after}");
    }
}

pub(super) async fn prefixes_end_where_names_do_not_start_with_them(Subject { coordinator: c, .. }: &Subject) {
    for key in ["a", "a.", "a/", "a/b", "a0", "ab", "b"] {
        put(&**c, key, "").await;
    }
    assert_eq!(keys(&**c, "a/").await, ["a/", "a/b"]);
    assert_eq!(keys(&**c, "a").await, ["a", "a.", "a/", "a/b", "a0", "ab"]);
    assert_eq!(keys(&**c, "").await.len(), 7);
}

pub(super) async fn a_list_of_nothing_is_empty_and_tells_the_revision(Subject { coordinator: c, .. }: &Subject) {
    let last = put(&**c, "a", "").await;
    assert_eq!(c.list("b/", 10, None).await.unwrap(), (vec![], last));
}

pub(super) async fn a_long_list_comes_in_pages_and_whole(Subject { coordinator: c, .. }: &Subject) {
    let names: Vec<String> = (0..1200).map(|n| format!("many/{n:05}")).collect();
    for chunk in names.chunks(MAX_OPS) {
        c.txn(vec![], chunk.iter().map(|name| Op::put(name, "v".repeat(100))).collect(), vec![]).await.unwrap();
    }
    put(&**c, "many0", "").await;
    assert_eq!(keys(&**c, "many/").await, names);
}
