use std::sync::Mutex;

use futures::TryStreamExt;
use ring::{digest, hmac};

use super::*;
use crate::{
    fake_http::{Answer, Asked, serve},
    open::{self, Opened},
    unfinished::Unfinished,
};

/// What the server was asked, in order.
type Log = Arc<Mutex<Vec<Asked>>>;

async fn opened(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> (Opened, Log) {
    let log = Log::default();
    let noted = log.clone();
    let endpoint = serve(move |asked| {
        noted.lock().unwrap().push(asked.clone());
        answer(asked)
    });
    let url = format!("s3://backups/pre/fix?endpoint={}&region=r", endpoint.await).parse().unwrap();
    let retry = Retry { budget: std::time::Duration::ZERO, ..Retry::default() };
    let options = open::OpenOptions { retry, ..open::OpenOptions::default() };
    (open::opened(&url, Some(&Credentials::new("AK", "hunter2")), &options, &Env::system()).unwrap(), log)
}

fn upload(key: &str, id: &str) -> String {
    let initiated = "<Initiated>2026-11-30T01:02:03.000Z</Initiated><StorageClass>STANDARD</StorageClass>";
    format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId>{initiated}</Upload>")
}

/// A page; with a marker more follows.
fn page(uploads: &[(&str, &str)], next: Option<(&str, &str)>) -> Answer {
    let uploads: String = uploads.iter().map(|(key, id)| upload(key, id)).collect();
    let (key, id) = next.unwrap_or_default();
    let markers = format!("<NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker>");
    let truncated = format!("<IsTruncated>{}</IsTruncated>", next.is_some());
    let name = r#"ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/""#;
    let text = format!(
        "<?xml version=\"1.0\"?>\n<{name}><Bucket>backups</Bucket><KeyMarker/>{markers}{truncated}{uploads}</ListMultipartUploadsResult>"
    );
    (200, text, None)
}

async fn list(unfinished: &Unfinished, prefix: &str) -> Result<Vec<(String, String)>, Error> {
    let uploads: Vec<_> = unfinished.list(Some(&prefix.into())).try_collect().await?;
    Ok(uploads.into_iter().map(|upload| (upload.path.to_string(), upload.id)).collect())
}

#[tokio::test]
async fn all_pages_are_listed_by_names_within_the_prefix() {
    let (opened, log) = opened(|asked| match asked.query("upload-id-marker").as_deref() {
        None => page(&[("pre/fix/a/x", "1"), ("pre/fix/a/x", "2")], Some(("pre/fix/a/x", "2"))),
        Some("2") => page(&[("pre/fix/a/x", "0 &amp; 3")], Some(("pre/fix/a/x", "0 &amp; 3"))),
        Some("0 & 3") => page(&[("pre/fix/a/y", "1"), ("elsewhere", "1")], None),
        Some(other) => panic!("{other}"),
    })
    .await;
    let uploads: Vec<_> = opened.unfinished.list(Some(&"a".into())).try_collect().await.unwrap();
    let names: Vec<_> = uploads.iter().map(|upload| (upload.path.as_ref(), upload.id.as_str())).collect();
    assert_eq!(names, [("a/x", "1"), ("a/x", "2"), ("a/x", "0 & 3"), ("a/y", "1")]);
    assert_eq!(uploads[0].begun, "2026-11-30T01:02:03Z".parse().unwrap());
    for asked in log.lock().unwrap().iter() {
        let (path, prefix) = (asked.url.path(), asked.query("prefix"));
        assert_eq!((asked.method.as_str(), path, prefix.as_deref()), ("GET", "/backups", Some("pre/fix/a/")));
        assert!(asked.query("uploads").is_some());
        assert_eq!(asked.headers["authorization"].rsplit_once('=').unwrap().1, signature(asked));
    }
}

/// As "Authenticating Requests (AWS Signature Version 4)" has it, for a request without a body.
fn signature(asked: &Asked) -> String {
    let authorization = &asked.headers["authorization"];
    let part = |name: &str| authorization.split(name).nth(1).unwrap().split(',').next().unwrap();
    let (names, scope) = (part("SignedHeaders="), part("Credential=AK/"));
    let raw = asked.url.query().unwrap();
    let mut query: Vec<_> = raw.split('&').collect();
    query.sort();
    let headers: String = names.split(';').map(|name| format!("{name}:{}\n", asked.headers[name])).collect();
    let (query, hash) = (query.join("&"), &asked.headers["x-amz-content-sha256"]);
    let request = format!("GET\n{}\n{query}\n{headers}\n{names}\n{hash}", asked.url.path());
    let hashed = hex::encode(digest::digest(&digest::SHA256, request.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hashed}", asked.headers["x-amz-date"]);
    let key = scope.split('/').fold(b"AWS4hunter2".to_vec(), |key, part| mac(&key, part));
    hex::encode(mac(&key, &text))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

#[tokio::test]
async fn a_list_that_does_not_go_on_or_ends_before_its_end_is_an_error() {
    let same = |_: &Asked| page(&[("pre/fix/b", "1")], Some(("pre/fix/b", "1")));
    let back = |asked: &Asked| match asked.query("key-marker") {
        None => page(&[("pre/fix/b", "1")], Some(("pre/fix/b", "1"))),
        Some(_) => page(&[("pre/fix/a", "1")], Some(("pre/fix/a", "1"))),
    };
    let nowhere = |_: &Asked| page(&[("pre/fix/b", "1")], Some(("", "")));
    let full = |_: &Asked| page(&[("pre/fix/b", "1"); PAGE], None);
    let same = list(&opened(same).await.0.unfinished, "").await;
    let back = list(&opened(back).await.0.unfinished, "").await;
    let nowhere = list(&opened(nowhere).await.0.unfinished, "").await;
    let full = list(&opened(full).await.0.unfinished, "").await;
    for (seen, part) in [(same, "go on"), (back, "go on"), (nowhere, "not where"), (full, "more follows")] {
        let error = seen.unwrap_err();
        assert!(matches!(error, Error::Pages { .. }) && error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_full_last_page_behind_which_nothing_comes_is_the_end() {
    let full = |asked: &Asked| match asked.query("key-marker") {
        None => page(&[("pre/fix/b", "1"); PAGE], None),
        Some(_) => page(&[], None),
    };
    let (opened, log) = opened(full).await;
    assert_eq!(list(&opened.unfinished, "").await.unwrap().len(), PAGE);
    assert_eq!(log.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn refusals_and_other_answers_are_named() {
    let refusal = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>".to_owned();
    let refused = opened(move |_| (403, refusal.clone(), None)).await.0;
    let error = list(&refused.unfinished, "").await.unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("403, AccessDenied"), "{error}");
    let busy = opened(|_| (503, String::new(), None)).await.0;
    assert!(list(&busy.unfinished, "").await.unwrap_err().is_retryable());
    for text in ["", "<html></html>", "<ListMultipartUploadsResult><Upload></Upload></ListMultipartUploadsResult>"] {
        let other = opened(move |_| (200, text.to_owned(), None)).await.0;
        let error = list(&other.unfinished, "").await.unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "{text}: {error}");
    }
}

#[tokio::test]
async fn an_upload_is_ended_by_its_id_and_one_that_is_gone_is_ended() {
    let (opened, log) = opened(|asked| {
        if asked.query("uploadId").unwrap() == "1" { (204, String::new(), None) } else { (404, String::new(), None) }
    })
    .await;
    for id in ["1", "2"] {
        let upload = Upload { path: "a/x".into(), id: id.to_owned(), begun: Timestamp::UNIX_EPOCH, bytes: None };
        opened.unfinished.abort(&upload).await.unwrap();
    }
    let log = log.lock().unwrap();
    assert_eq!((log[0].method.as_str(), log[0].url.path()), ("DELETE", "/backups/pre/fix/a/x"));
}
