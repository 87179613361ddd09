//! An HTTP server for tests: one answer to each connection.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use url::Url;

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// The target, as a URL of this server.
    pub(crate) url: Url,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Asked {
    /// The value of a query key.
    pub(crate) fn query(&self, key: &str) -> Option<String> {
        self.url.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
    }
}

/// Status and body, and one more header line where there is one.
pub(crate) type Answer = (u16, String, Option<String>);

/// Serves on a port of its own for as long as the test's runtime lives; gives `http://host:port`.
pub(crate) async fn serve(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (endpoint, answer) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(answer));
    let base = endpoint.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (base, answer) = (base.clone(), answer.clone());
            tokio::spawn(async move { connection(stream, &base, answer.as_ref()).await });
        }
    });
    endpoint
}

async fn connection(mut stream: TcpStream, base: &str, answer: impl Fn(&Asked) -> Answer) -> std::io::Result<()> {
    let asked = read(&mut stream, base).await?;
    let (status, body, header) = answer(&asked);
    let header = header.map(|line| format!("{line}\r\n")).unwrap_or_default();
    let length = body.len();
    let body = if asked.method == "HEAD" { "" } else { &body };
    let text = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{header}Content-Length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

async fn read(stream: &mut TcpStream, base: &str) -> std::io::Result<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).await?;
    Ok(Asked { method, url: format!("{base}{target}").parse().unwrap(), headers })
}
