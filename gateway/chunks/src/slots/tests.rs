use jiff::Timestamp;
use object_store::memory::InMemory;

use super::*;

const CHEAP: Argon2Cost = Argon2Cost { memory_kib: 16, passes: 1, lanes: 1 };

struct Bench {
    store: Arc<dyn ObjectStore>,
    slots: Slots,
    env: Env,
    key: RepositoryKey,
}

fn bench() -> Bench {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (env, repository) = (Env::seeded(1, Timestamp::UNIX_EPOCH), Uuid::from_u128(1));
    let slots = Slots::new(Arc::clone(&store), repository);
    let key = RepositoryKey::random(&env, repository);
    Bench { store, slots, env, key }
}

fn passphrase(text: &str) -> Unlock {
    Unlock::Passphrase(text.to_owned().into(), CHEAP)
}

fn same(one: &RepositoryKey, other: &RepositoryKey) -> bool {
    one.master().expose() == other.master().expose()
}

impl Bench {
    async fn add(&self, name: &str, unlock: &Unlock) -> Result<(), Error> {
        self.slots.add(&self.env, name, &self.key, unlock).await
    }

    async fn stored(&self, name: &str) -> Vec<u8> {
        self.store.get(&path(name).unwrap()).await.unwrap().bytes().await.unwrap().to_vec()
    }

    async fn overwrite(&self, name: &str, bytes: Vec<u8>) {
        self.store.put(&path(name).unwrap(), bytes.into()).await.unwrap();
    }
}

#[tokio::test]
async fn any_slot_opens_and_a_lost_one_is_survived() {
    let bench = bench();
    let text = new_key_file(&bench.env);
    let file = Unlock::key_file(&text).unwrap();
    bench.add("file", &file).await.unwrap();
    bench.add("office", &passphrase("high water")).await.unwrap();
    assert!(same(&bench.slots.open(&file).await.unwrap(), &bench.key));
    assert!(same(&bench.slots.open(&passphrase("high water")).await.unwrap(), &bench.key));
    bench.store.delete(&path("file").unwrap()).await.unwrap();
    assert!(same(&bench.slots.open(&passphrase("high water")).await.unwrap(), &bench.key));
}

#[tokio::test]
async fn a_slot_is_rotated_by_a_new_one_and_the_old_secret_opens_no_more() {
    let bench = bench();
    bench.add("old", &passphrase("ebb")).await.unwrap();
    bench.add("new", &passphrase("flow")).await.unwrap();
    bench.slots.remove("old", &bench.key).await.unwrap();
    assert!(same(&bench.slots.open(&passphrase("flow")).await.unwrap(), &bench.key));
    let refused = bench.slots.open(&passphrase("ebb")).await.unwrap_err();
    assert_eq!(refused.to_string(), "no key slot opens: new: the secret is not the one of this slot");
}

#[tokio::test]
async fn the_last_slot_that_opens_is_not_removed() {
    let bench = bench();
    bench.add("one", &passphrase("a")).await.unwrap();
    assert!(matches!(bench.slots.remove("one", &bench.key).await, Err(Error::Last { .. })));
    // Another repository key's slot, and a damaged one, open nothing.
    let other = RepositoryKey::random(&Env::system(), bench.key.repository());
    bench.slots.add(&bench.env, "foreign", &other, &passphrase("b")).await.unwrap();
    bench.overwrite("damaged", bench.stored("one").await[1..].to_vec()).await;
    assert!(matches!(bench.slots.remove("one", &bench.key).await, Err(Error::Last { .. })));
    bench.add("two", &passphrase("c")).await.unwrap();
    bench.slots.remove("one", &bench.key).await.unwrap();
    assert!(matches!(bench.slots.remove("one", &bench.key).await, Err(Error::Unknown { .. })));
}

#[tokio::test]
async fn a_damaged_slot_keeps_no_other_from_opening_and_every_changed_byte_is_found() {
    let bench = bench();
    bench.add("a", &passphrase("x")).await.unwrap();
    let whole = bench.stored("a").await;
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        bench.overwrite("a", changed).await;
        let opened = bench.slots.open(&passphrase("x")).await;
        // What a byte of white space or the case of a digit is says nothing.
        assert!(opened.is_err() || whole[at].is_ascii_whitespace(), "byte {at}: {}", whole[at] as char);
    }
    bench.add("b", &passphrase("y")).await.unwrap();
    bench.overwrite("a", whole[..100].to_vec()).await;
    assert!(same(&bench.slots.open(&passphrase("y")).await.unwrap(), &bench.key));
    let listed = bench.slots.list().await.unwrap();
    assert!(matches!(listed.as_slice(), [SlotInfo { state: Err(_), .. }, SlotInfo { state: Ok(_), .. }]));
}

#[tokio::test]
async fn a_slot_of_another_repository_is_told() {
    let bench = bench();
    bench.add("a", &passphrase("x")).await.unwrap();
    let elsewhere = Slots::new(Arc::clone(&bench.store), Uuid::from_u128(2));
    let refused = elsewhere.open(&passphrase("x")).await.unwrap_err();
    assert!(refused.to_string().contains("it belongs to repository"), "{refused}");
    let file = Unlock::key_file(&new_key_file(&bench.env)).unwrap();
    let refused = bench.slots.open(&file).await.unwrap_err();
    assert!(refused.to_string().contains("it is opened by a passphrase"), "{refused}");
}

#[tokio::test]
async fn a_cost_out_of_bounds_is_not_paid() {
    let bench = bench();
    bench.add("a", &passphrase("x")).await.unwrap();
    let text = String::from_utf8(bench.stored("a").await).unwrap();
    bench.overwrite("a", text.replace("\"memory_kib\": 16", "\"memory_kib\": 4000000000").into_bytes()).await;
    let refused = bench.slots.open(&passphrase("x")).await.unwrap_err();
    assert!(refused.to_string().contains("its cost is out of bounds: 4000000000 KiB"), "{refused}");
}

#[tokio::test]
async fn a_name_is_used_once_and_no_path() {
    let bench = bench();
    bench.add("a", &passphrase("x")).await.unwrap();
    assert!(matches!(bench.add("a", &passphrase("y")).await, Err(Error::Write { .. })));
    for name in ["", "-a", "A", "a/b", "..", "a b", &"a".repeat(64)] {
        assert!(matches!(bench.add(name, &passphrase("x")).await, Err(Error::Name { .. })), "{name}");
    }
}

#[tokio::test]
async fn a_slot_of_a_later_format_is_named_and_one_with_more_fields_is_refused() {
    let bench = bench();
    bench.add("a", &passphrase("x")).await.unwrap();
    let text = String::from_utf8(bench.stored("a").await).unwrap();
    bench.overwrite("a", text.replace("\"format\": 1", "\"format\": 2").into_bytes()).await;
    assert!(bench.slots.open(&passphrase("x")).await.unwrap_err().to_string().contains("format 2 is not known"));
    bench.overwrite("a", text.replace("\"sealed\"", "\"more\": 1, \"sealed\"").into_bytes()).await;
    assert!(bench.slots.open(&passphrase("x")).await.unwrap_err().to_string().contains("unknown field"));
}

#[test]
fn only_the_text_of_a_key_file_is_one() {
    let text = new_key_file(&Env::system());
    assert!(Unlock::key_file(&text).is_ok() && Unlock::key_file(text.trim_end()).is_ok());
    for bad in ["", "tidemark-key-1 ", &text[..60], &text[15..], &text.replace("key-1", "key-2")] {
        assert!(Unlock::key_file(bad).is_err(), "{bad}");
    }
    assert!(Unlock::passphrase(String::new()).is_err());
    assert!(Unlock::passphrase("x".repeat(MOST_PASSPHRASE_BYTES + 1)).is_err());
}

#[tokio::test]
async fn no_secret_is_printed_or_stored_open() {
    let bench = bench();
    let text = new_key_file(&bench.env);
    let unlocks = [Unlock::key_file(&text).unwrap(), passphrase("sesame")];
    let printed = format!("{unlocks:?}");
    assert_eq!(printed, "[KeyFile(***), Passphrase(***)]");
    bench.add("a", &unlocks[0]).await.unwrap();
    bench.add("b", &unlocks[1]).await.unwrap();
    let master = hex::encode(bench.key.master().expose());
    for name in ["a", "b"] {
        let stored = String::from_utf8(bench.stored(name).await).unwrap();
        assert!(!stored.contains(&master) && !stored.contains("sesame") && !stored.contains(&text[15..79]));
    }
    let error = bench.slots.open(&passphrase("guess")).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("guess"));
}
