//! A network between one process and others, of which either direction can be held up: nothing is lost, as TCP has it, but nothing arrives
//! until it is let through again.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What goes to the others and what comes back.
#[derive(Clone, Debug)]
pub struct Link {
    requests: Arc<watch::Sender<bool>>,
    answers: Arc<watch::Sender<bool>>,
}

impl Default for Link {
    /// All goes through.
    fn default() -> Self {
        Self { requests: Arc::new(watch::Sender::new(true)), answers: Arc::new(watch::Sender::new(true)) }
    }
}

impl Link {
    /// Says what goes through from now on, in connections that are there and in new ones.
    pub fn set(&self, requests: bool, answers: bool) {
        self.requests.send_replace(requests);
        self.answers.send_replace(answers);
    }

    /// Serves at `address` (`ip:port`) what is at `target`, for as long as the runtime is there.
    ///
    /// # Errors
    /// Where the address cannot be listened on.
    pub async fn serve(&self, address: &str, target: String) -> Result<()> {
        let listener = TcpListener::bind(address).await.with_context(|| address.to_owned())?;
        let own = self.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(own.clone().join(client, target.clone()));
            }
        });
        Ok(())
    }

    async fn join(self, client: TcpStream, target: String) {
        let Ok(server) = TcpStream::connect(&target).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        // Where one end closes, the other is closed.
        tokio::select! {
            () = pass(from_client, to_server, self.requests.subscribe()) => {}
            () = pass(from_server, to_client, self.answers.subscribe()) => {}
        }
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if open.wait_for(|open| *open).await.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
