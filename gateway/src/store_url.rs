//! Names of stores as operators write them.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use url::Url;

/// Where a store is; carries no secret, and neither its text nor its errors ever show one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreUrl {
    /// `file:///abs/dir`: a directory of this machine.
    File(PathBuf),
    /// `s3://bucket[/prefix]?endpoint=http://127.0.0.1:7070&region=r`: an S3-compatible store.
    S3(S3Url),
    /// `memory:[name]`: lost when the process ends; one instance per name and process.
    Memory(String),
}

/// A bucket, or a prefix in one, of an S3-compatible store; addressed in path style.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct S3Url {
    /// The bucket.
    pub bucket: String,
    /// Prefix within the bucket without slashes at its ends; empty for the whole bucket.
    pub prefix: String,
    /// `http://` or `https://`, host and port; absent for AWS itself. Plain HTTP is used only where this says so.
    pub endpoint: Option<String>,
    /// Region to sign for; `us-east-1` where the URL does not say.
    pub region: String,
}

/// Why a text is not the URL of a store. No variant repeats the text, which may hold a secret by mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a URL at all.
    #[error("store URL is not a URL: {0}")]
    Shape(url::ParseError),
    /// A scheme that is not known.
    #[error("store URL scheme {0:?} is not one of file, s3 and memory")]
    Scheme(String),
    /// User name or password inside the URL.
    #[error("store URL holds a user name or password; give credentials apart, as env:PREFIX or file:/path")]
    Secret,
    /// A fragment.
    #[error("store URL has a fragment (#...), which means nothing here")]
    Fragment,
    /// A query key that is not known for the scheme.
    #[error("store URL has query key {0:?}; known are endpoint and region, for s3 only")]
    Query(String),
    /// A query key given twice.
    #[error("store URL gives query key {0:?} twice")]
    Twice(String),
    /// The path of a `file:` URL.
    #[error("store URL path: file stores are file:///absolute/directory, without a host")]
    Directory,
    /// The bucket of an `s3:` URL.
    #[error(
        "store URL bucket {0:?} is not 3 to 63 of a-z, 0-9, '.' and '-', starting and ending with a letter or digit"
    )]
    Bucket(String),
    /// The prefix of an `s3:` URL.
    #[error("store URL prefix {0:?} has an empty, '.' or '..' part or a character outside letters, digits and -_.=")]
    Prefix(String),
    /// The endpoint of an `s3:` URL.
    #[error("store URL endpoint {0}")]
    Endpoint(&'static str),
    /// The region of an `s3:` URL.
    #[error("store URL region {0:?} is not 1 to 63 of letters, digits and '-'")]
    Region(String),
    /// The name of a `memory:` URL.
    #[error("store URL memory name {0:?} is not letters, digits and '-'")]
    MemoryName(String),
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let url = Url::parse(text).map_err(Error::Shape)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Secret);
        }
        if url.fragment().is_some() {
            return Err(Error::Fragment);
        }
        match url.scheme() {
            "file" => file(&url),
            "s3" => s3(&url),
            "memory" => memory(&url),
            other => Err(Error::Scheme(other.to_owned())),
        }
    }
}

fn file(url: &Url) -> Result<StoreUrl, Error> {
    no_query(url)?;
    let path = url.to_file_path().map_err(|()| Error::Directory)?;
    if path.parent().is_none() { Err(Error::Directory) } else { Ok(StoreUrl::File(path)) }
}

fn memory(url: &Url) -> Result<StoreUrl, Error> {
    no_query(url)?;
    let name = url.path();
    if url.has_host() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(Error::MemoryName(name.to_owned()));
    }
    Ok(StoreUrl::Memory(name.to_owned()))
}

fn no_query(url: &Url) -> Result<(), Error> {
    url.query_pairs().next().map_or(Ok(()), |(key, _)| Err(Error::Query(key.into_owned())))
}

fn s3(url: &Url) -> Result<StoreUrl, Error> {
    let bucket = bucket(url.host_str().unwrap_or_default(), url.port())?;
    let prefix = prefix(url.path())?;
    let mut query = query(url)?;
    let endpoint = query.remove("endpoint").map(|text| endpoint(&text)).transpose()?;
    let region = region(query.remove("region"))?;
    match query.pop_first() {
        Some((key, _)) => Err(Error::Query(key)),
        None => Ok(StoreUrl::S3(S3Url { bucket, prefix, endpoint, region })),
    }
}

fn query(url: &Url) -> Result<BTreeMap<String, String>, Error> {
    let mut found = BTreeMap::new();
    for (key, value) in url.query_pairs() {
        if found.insert(key.clone().into_owned(), value.into_owned()).is_some() {
            return Err(Error::Twice(key.into_owned()));
        }
    }
    Ok(found)
}

fn bucket(text: &str, port: Option<u16>) -> Result<String, Error> {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let inside = text.bytes().all(|b| word(b) || b == b'-' || b == b'.');
    let ends = text.bytes().next().is_some_and(word) && text.bytes().last().is_some_and(word);
    if port.is_none() && inside && ends && (3..=63).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(Error::Bucket(text.to_owned()))
    }
}

fn prefix(path: &str) -> Result<String, Error> {
    let trimmed = path.trim_matches('/');
    let part = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'='))
    };
    if trimmed.is_empty() || trimmed.split('/').all(part) {
        Ok(trimmed.to_owned())
    } else {
        Err(Error::Prefix(trimmed.to_owned()))
    }
}

fn endpoint(text: &str) -> Result<String, Error> {
    let url = Url::parse(text).map_err(|_| Error::Endpoint("is not a URL such as http://127.0.0.1:7070"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::Endpoint("is neither http:// nor https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Endpoint("holds a user name or password"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(Error::Endpoint("has more than scheme, host and port"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn region(text: Option<String>) -> Result<String, Error> {
    let text = text.unwrap_or_else(|| DEFAULT_REGION.to_owned());
    let valid = (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if valid { Ok(text) } else { Err(Error::Region(text)) }
}

const DEFAULT_REGION: &str = "us-east-1";

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => match Url::from_file_path(path) {
                Ok(url) => f.write_str(url.as_str()),
                Err(()) => write!(f, "file://{}", path.display()),
            },
            Self::Memory(name) => write!(f, "memory:{name}"),
            Self::S3(s3) => s3.fmt(f),
        }
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        match &self.endpoint {
            Some(endpoint) => write!(f, "?endpoint={endpoint}&region={}", self.region),
            None => write!(f, "?region={}", self.region),
        }
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<StoreUrl, Error> {
        text.parse()
    }

    #[test]
    fn every_scheme_parses_and_prints_back() {
        for text in [
            "file:///var/lib/tidemark",
            "memory:",
            "memory:one",
            "s3://backups?region=eu-1",
            "s3://backups/a/b?endpoint=http://127.0.0.1:7070&region=us-east-1",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn region_and_slashes_have_defaults() {
        let StoreUrl::S3(s3) = parse("s3://backups//a/?endpoint=https://s3.example:9000/").unwrap() else { panic!() };
        assert_eq!((s3.prefix.as_str(), s3.region.as_str()), ("a", "us-east-1"));
        assert_eq!(s3.endpoint.as_deref(), Some("https://s3.example:9000"));
    }

    #[test]
    fn each_wrong_part_is_named() {
        let cases = [
            ("nothing", "not a URL"),
            ("ftp://x/y", "scheme \"ftp\""),
            ("file://host/dir", "file stores are"),
            ("file:///", "file stores are"),
            ("file:///a?region=r", "query key \"region\""),
            ("s3://ab", "bucket \"ab\""),
            ("s3://Backups_1", "bucket"),
            ("s3://backups/a/../../b%2F", "prefix"),
            ("s3://backups?endpoint=127.0.0.1:7070", "endpoint"),
            ("s3://backups?endpoint=ftp://h", "neither http"),
            ("s3://backups?endpoint=http://h/path", "more than scheme"),
            ("s3://backups?region=", "region"),
            ("s3://backups?region=a&region=b", "twice"),
            ("s3://backups?acl=x", "query key \"acl\""),
            ("memory:a/b", "memory name"),
            ("s3://backups#x", "fragment"),
        ];
        for (text, part) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_secret_in_the_url_is_refused_and_not_repeated() {
        for text in
            ["s3://key:hunter2@backups", "file://key:hunter2@h/d", "s3://backups?endpoint=http://k:hunter2@127.0.0.1:1"]
        {
            assert!(!parse(text).unwrap_err().to_string().contains("hunter2"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_what_parses_prints_back(text in "(s3|file|memory)://?[ -~]{0,40}") {
            if let Ok(url) = parse(&text) {
                prop_assert_eq!(parse(&url.to_string()).unwrap(), url);
            }
        }
    }
}
