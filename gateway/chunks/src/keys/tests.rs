use std::collections::HashMap;

use jiff::Timestamp;

use super::*;

fn env() -> Env {
    Env::seeded(1, Timestamp::UNIX_EPOCH)
}

fn key(byte: u8, repository: u128) -> RepositoryKey {
    RepositoryKey::new(Uuid::from_u128(repository), Secret::take(&mut [byte; 32]))
}

#[test]
fn a_data_key_unwraps_only_for_its_object() {
    let (key, path) = (key(1, 1), Path::from("chunks/pack/aa/1"));
    let issued = key.issue(&env(), Kind::Pack, path.clone()).unwrap();
    let header = Header::read(&issued.header().to_bytes(), Kind::Pack).unwrap();
    assert_eq!(key.unwrap(&path, &header).unwrap().expose(), issued.key().expose());
    assert!(matches!(key.unwrap(&Path::from("chunks/pack/aa/2"), &header), Err(Error::Damaged { .. })));
    let as_index = Header { kind: Kind::Index, ..header };
    assert!(matches!(key.unwrap(&path, &as_index), Err(Error::Damaged { .. })));
}

#[test]
fn another_key_and_another_repository_are_told_apart_from_damage() {
    let path = Path::from("p");
    let issued = key(1, 1).issue(&env(), Kind::Pack, path.clone()).unwrap();
    let wrong = key(2, 1).unwrap(&path, issued.header()).unwrap_err();
    assert_eq!(
        wrong.to_string(),
        format!("p is sealed with repository key {}, not with {}", key(1, 1).id(), key(2, 1).id())
    );
    assert!(matches!(key(1, 2).unwrap(&path, issued.header()), Err(Error::Repository { .. })));
}

#[test]
fn each_object_has_a_key_of_its_own() {
    let (env, key) = (env(), key(1, 1));
    let one = key.issue(&env, Kind::Pack, Path::from("a")).unwrap();
    let other = key.issue(&env, Kind::Pack, Path::from("a")).unwrap();
    assert_ne!(one.key().expose(), other.key().expose());
}

#[test]
fn a_process_with_some_keys_opens_nothing_else() {
    let key = key(1, 1);
    let issued = key.issue(&env(), Kind::Object, Path::from("a")).unwrap();
    let stored = issued.seal_object(&env(), b"page");
    let keys = Arc::new(HashMap::from([(Path::from("a"), issued.key().clone())]));
    let some = Keyring::Given { repository: key.repository(), keys };
    assert_eq!(some.open_object(&Path::from("a"), &stored).unwrap(), b"page");
    let refused = some.open_object(&Path::from("b"), &stored).unwrap_err();
    assert_eq!(refused.to_string(), "the key of b was not handed to this process");
}

#[test]
fn a_sealed_object_that_was_changed_or_moved_is_found() {
    let key = key(1, 1);
    let stored = key.issue(&env(), Kind::Object, Path::from("a")).unwrap().seal_object(&env(), b"page");
    let all = Keyring::Repository(key);
    assert_eq!(all.open_object(&Path::from("a"), &stored).unwrap(), b"page");
    assert!(all.open_object(&Path::from("b"), &stored).is_err());
    for at in 0..stored.len() {
        let mut changed = stored.clone();
        changed[at] ^= 1;
        assert!(all.open_object(&Path::from("a"), &changed).is_err(), "byte {at}");
        assert!(all.open_object(&Path::from("a"), &stored[..at]).is_err(), "{at} bytes");
    }
}

#[test]
fn authenticators_differ_by_key_purpose_and_bytes() {
    let one = key(1, 1).authenticator("manifest", b"a");
    assert_eq!(one, key(1, 1).authenticator("manifest", b"a"));
    assert_ne!(one, key(2, 1).authenticator("manifest", b"a"));
    assert_ne!(one, key(1, 1).authenticator("page", b"a"));
    assert_ne!(one, key(1, 1).authenticator("manifest", b"b"));
}

#[test]
fn no_key_prints() {
    let key = key(0xab, 1);
    let issued = key.issue(&env(), Kind::Pack, Path::from("p")).unwrap();
    let data_key = hex::encode(issued.key().expose());
    let printed =
        format!("{key:?} {issued:?} {:?} {:?} {:?}", key.chunking(), key.ids(), Keyring::Repository(key.clone()));
    assert!(!printed.contains(&"ab".repeat(16)) && !printed.contains(&"171, ".repeat(16)), "{printed}");
    assert!(!printed.contains(&data_key) && printed.contains("***"), "{printed}");
}
