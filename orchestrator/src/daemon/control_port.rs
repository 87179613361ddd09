//! The port of the control service, where it may be any: the one of the last run, if it is free.
//!
//! A daemon that was killed leaves its listeners behind. They dial the address they know; there the next daemon refuses their
//! token, and they end. On another port they would dial for ever.

use std::{net::SocketAddr, path::Path};

use tokio::net::TcpListener;

use super::{Error, local_address};

/// Name of the file in the state directory that remembers the port.
const FILE: &str = "control-port";

/// Listens on `address`; where its port is 0, on the remembered port or a new one, which is then remembered.
pub(super) async fn bind(state: &Path, address: SocketAddr) -> Result<TcpListener, Error> {
    if address.port() != 0 {
        return super::bind(address).await;
    }
    let remembered = std::fs::read_to_string(state.join(FILE)).ok().and_then(|text| text.trim().parse().ok());
    let last = remembered.map(|port| SocketAddr::new(address.ip(), port));
    let socket = match last {
        Some(last) => match super::bind(last).await {
            Ok(socket) => socket,
            Err(_) => super::bind(address).await?,
        },
        None => super::bind(address).await?,
    };
    let port = local_address(&socket, address)?.port();
    std::fs::write(state.join(FILE), format!("{port}\n")).map_err(|source| Error::Listen { address, source })?;
    Ok(socket)
}
