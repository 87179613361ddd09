//! Whose a control socket is: before a listener obeys who answers there, it proves that only its own user or root can have put
//! the socket there.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use tokio::net::UnixStream;

/// Bits of a mode that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// Why a socket is not dialled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be looked at; where it is not there, it may come.
    #[error("look at {}", path.display())]
    Look {
        /// The socket, or its directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else can have put it there.
    #[error("{} {why}: whoever answers there need not be the daemon", path.display())]
    Untrusted {
        /// The socket, or its directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// True where the socket is not there: its daemon may be starting.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Look { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Proves that the socket and its directory belong to this process's user or to root, and that nobody else can write to them.
/// Called within a runtime.
///
/// # Errors
/// [`Error`].
pub fn prove(socket: &Path) -> Result<(), Error> {
    let own = own_user().map_err(|source| Error::Look { path: socket.to_owned(), source })?;
    let directory = socket.parent().unwrap_or(Path::new("/"));
    prove_one(directory, own, |kind| kind.is_dir().then_some(()).ok_or("is not a directory"))?;
    prove_one(socket, own, |kind| kind.is_socket().then_some(()).ok_or("is not a socket"))
}

/// A link is judged as what it is: not what it should be.
fn prove_one(path: &Path, own: u32, kind: impl Fn(fs::FileType) -> Result<(), &'static str>) -> Result<(), Error> {
    let found = fs::symlink_metadata(path).map_err(|source| Error::Look { path: path.to_owned(), source })?;
    let untrusted = |why: String| Error::Untrusted { path: path.to_owned(), why };
    kind(found.file_type()).map_err(|why| untrusted(why.to_owned()))?;
    judge(found.uid(), found.mode(), own).map_err(untrusted)
}

fn judge(owner: u32, mode: u32, own: u32) -> Result<(), String> {
    if owner != own && owner != 0 {
        return Err(format!("belongs to user {owner}, neither to root nor to this process's user {own}"));
    }
    match mode & OTHERS_WRITE {
        0 => Ok(()),
        _ => Err(format!("can be written to by others (mode {:03o})", mode & 0o777)),
    }
}

/// The user that this process acts as: what the system says of who made a pair of sockets.
fn own_user() -> io::Result<u32> {
    let (one, _other) = UnixStream::pair()?;
    Ok(one.peer_cred()?.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_own_or_can_write_to_is_not_trusted() {
        for (owner, mode, trusted) in [
            (1000, 0o40700, true),
            (0, 0o40755, true),
            (1001, 0o40700, false),
            (1000, 0o40770, false),
            (1000, 0o40702, false),
            (0, 0o140777, false),
        ] {
            assert_eq!(judge(owner, mode, 1000).is_ok(), trusted, "{owner} {mode:o}");
        }
    }

    #[tokio::test]
    async fn what_is_not_there_may_come() {
        let error = prove(Path::new("/nowhere/control/listeners.sock")).unwrap_err();
        assert!(error.is_absent(), "{error}");
    }

    #[tokio::test]
    async fn a_file_is_no_socket() {
        let error = prove(Path::new("/proc/version")).unwrap_err();
        assert!(error.to_string().contains("is not a socket"), "{error}");
    }
}
