use object_store::{ObjectStoreExt, memory::InMemory};

use super::*;
use crate::tree::tests::noise;

fn memory() -> (Arc<dyn ObjectStore>, Path) {
    (Arc::new(InMemory::new()), Path::from("a/b"))
}

fn small_parts() -> UploadOptions {
    UploadOptions { part_bytes: 10, in_flight: 3 }
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn a_name_is_created_once_and_found_again_by_its_bytes() {
    let (store, path) = memory();
    let stored = put_new(&store, &path, "one").await.unwrap();
    assert_eq!(stored, Stored::of(b"one"));
    assert_eq!(put_new(&store, &path, "one").await.unwrap(), stored);
    let error = put_new(&store, &path, "two").await.unwrap_err();
    assert!(matches!(error, Error::Taken { .. }) && !error.is_retryable(), "{error}");
    assert_eq!(fetch::get_unchecked(&store, &path).await.unwrap(), "one");
}

#[tokio::test]
async fn uploads_of_every_length_store_exactly_their_bytes() {
    for len in [0, 1, 9, 10, 11, 19, 20, 21, 100, 1003] {
        let (store, path) = memory();
        let (bytes, mut heard) = (text(len), 0);
        let stored = put_reader_new(&store, &path, &bytes[..], &small_parts(), |n| heard += n).await.unwrap();
        assert_eq!((&stored, heard), (&Stored::of(&bytes), len as u64), "{len}");
        assert_eq!(fetch::get(&store, &path, &stored).await.unwrap(), bytes, "{len}");
    }
}

#[tokio::test]
async fn a_second_upload_of_the_same_bytes_succeeds_and_of_others_is_refused() {
    let (store, path) = memory();
    let bytes = text(35);
    let stored = put_reader_new(&store, &path, &bytes[..], &small_parts(), |_| {}).await.unwrap();
    assert_eq!(put_reader_new(&store, &path, &bytes[..], &small_parts(), |_| {}).await.unwrap(), stored);
    let mut other = bytes.clone();
    other[34] ^= 1;
    for wrong in [&other[..], &bytes[..34], &bytes[..5]] {
        let error = put_reader_new(&store, &path, wrong, &small_parts(), |_| {}).await.unwrap_err();
        assert!(matches!(error, Error::Taken { .. }), "{error}");
    }
    assert_eq!(fetch::get(&store, &path, &stored).await.unwrap(), bytes);
}

#[tokio::test]
async fn uploads_of_more_than_a_block_give_the_tree() {
    let bytes = noise((3 << 20) + 5);
    let expected = Stored::of(&bytes).tree.unwrap();
    for part_bytes in [700_001, 1 << 20, 8 << 20] {
        let (store, path) = memory();
        let options = UploadOptions { part_bytes, in_flight: 2 };
        for run in ["first", "second"] {
            let stored = put_reader_new(&store, &path, &bytes[..], &options, |_| {}).await.unwrap();
            assert_eq!(stored.tree.as_ref(), Some(&expected), "{run}, parts of {part_bytes}");
        }
    }
}

#[tokio::test]
async fn a_reader_that_fails_half_way_leaves_no_object() {
    let (store, path) = memory();
    let broken = tokio_test_reader(text(45));
    let error = put_reader_new(&store, &path, broken, &small_parts(), |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error}");
    assert!(matches!(store.head(&path).await, Err(object_store::Error::NotFound { .. })));
}

/// Gives `bytes`, then an error.
fn tokio_test_reader(bytes: Vec<u8>) -> impl tokio::io::AsyncRead + Send + Unpin {
    struct Broken;
    impl tokio::io::AsyncRead for Broken {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Err(std::io::Error::other("disk fell out")))
        }
    }
    tokio::io::AsyncReadExt::chain(std::io::Cursor::new(bytes), Broken)
}

#[tokio::test]
async fn a_file_is_uploaded_and_an_absent_one_is_named() {
    let (store, path) = memory();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), text(25)).unwrap();
    let stored = put_file_new(&store, &path, &dir.path().join("f"), &small_parts(), |_| {}).await.unwrap();
    assert_eq!(stored, Stored::of(&text(25)));
    let error = put_file_new(&store, &path, &dir.path().join("g"), &small_parts(), |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error}");
}
