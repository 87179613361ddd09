//! A proxy that can lose answers: requests arrive, nothing comes back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// Tells proxies that the connection which is used next loses all answers from then on.
pub(super) type Armed = Arc<AtomicBool>;

/// Serves at `address` what is at `target`, for as long as the test runs; `http://…` of it.
pub(super) async fn proxy(address: &str, target: String, armed: Armed) -> String {
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(&target).await else { continue };
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            let lost = Armed::default();
            tokio::spawn(requests(from_client, to_server, Arc::clone(&armed), Arc::clone(&lost)));
            tokio::spawn(answers(from_server, to_client, lost));
        }
    });
    format!("http://{address}")
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, armed: Armed, lost: Armed) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if armed.swap(false, Ordering::SeqCst) {
            lost.store(true, Ordering::SeqCst);
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, lost: Armed) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if !lost.load(Ordering::SeqCst) && to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
