//! The socket that listeners of this host dial, in a directory that is the daemon's user's alone.
//!
//! It is in the state directory, always under the same name: a daemon that was killed leaves its listeners behind. They dial the
//! socket that they know; there the next daemon refuses their token, and they end.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use tidemark_listener_core::socket;
use tokio::net::UnixListener;

use super::Error;

/// The directory, within the state directory, and the socket within it.
const PLACE: [&str; 2] = ["control", "listeners.sock"];

/// Longest name of a socket, bytes: what the system takes, less the zero at its end.
const LONGEST: usize = 107;

/// A socket that is listened on, and the URL by which listeners dial it.
pub(super) struct ControlSocket {
    pub(super) listener: UnixListener,
    pub(super) url: String,
}

/// Listens in the state directory, which this process alone holds.
///
/// # Errors
/// [`Error::SocketName`] where the state directory's name is too long or is no text, [`Error::Socket`].
pub(super) fn bind(state: &Path) -> Result<ControlSocket, Error> {
    let (directory, path) = place(state)?;
    let url = format!("unix:{}", path.display());
    let failed = |source| Error::Socket { path: path.clone(), source };
    make_private(&directory).map_err(failed)?;
    remove(&path).map_err(failed)?;
    let listener = UnixListener::bind(&path).map_err(failed)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
    // What a listener would refuse is better known now.
    socket::prove(&path).map_err(Error::SocketUntrusted)?;
    Ok(ControlSocket { listener, url })
}

/// The directory and the socket, absolute: a listener may run elsewhere.
fn place(state: &Path) -> Result<(PathBuf, PathBuf), Error> {
    let state = std::path::absolute(state).map_err(|source| Error::Socket { path: state.to_owned(), source })?;
    let directory = state.join(PLACE[0]);
    let path = directory.join(PLACE[1]);
    let bytes = path.as_os_str().as_bytes().len();
    if bytes > LONGEST || path.to_str().is_none() {
        return Err(Error::SocketName { path, bytes });
    }
    Ok((directory, path))
}

/// Makes the directory; one that is there becomes private, if it is ours.
fn make_private(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    // Through a link somebody else's would be changed.
    if !fs::symlink_metadata(directory)?.is_dir() {
        return Err(io::Error::other("the name of its directory is taken by something else"));
    }
    fs::set_permissions(directory, Permissions::from_mode(0o700))
}

/// Removes the socket of an earlier run.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_socket_is_private_and_takes_the_place_of_the_last_run_s() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("control/listeners.sock");
        for _ in 0..2 {
            let socket = bind(state.path()).unwrap();
            assert_eq!(socket.url, format!("unix:{}", path.display()));
            assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
            let (dialled, accepted) = tokio::join!(UnixStream::connect(&path), socket.listener.accept());
            assert!(dialled.is_ok() && accepted.is_ok());
            fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o777)).unwrap();
        }
    }

    #[tokio::test]
    async fn a_socket_in_a_directory_that_others_can_write_to_is_not_trusted() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("control/listeners.sock");
        let _socket = bind(state.path()).unwrap();
        socket::prove(&path).unwrap();
        for open in [path.parent().unwrap(), &path] {
            let before = fs::metadata(open).unwrap().permissions();
            fs::set_permissions(open, Permissions::from_mode(0o722)).unwrap();
            let error = socket::prove(&path).unwrap_err();
            assert!(matches!(error, socket::Error::Untrusted { .. }), "{error}");
            fs::set_permissions(open, before).unwrap();
        }
        let link = state.path().join("link");
        std::os::unix::fs::symlink(path.parent().unwrap(), &link).unwrap();
        assert!(matches!(socket::prove(&link.join("listeners.sock")), Err(socket::Error::Untrusted { .. })));
    }

    #[tokio::test]
    async fn a_link_in_place_of_the_directory_is_refused() {
        let (state, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), state.path().join("control")).unwrap();
        assert!(matches!(bind(state.path()).map(drop), Err(Error::Socket { .. })));
    }

    #[tokio::test]
    async fn a_state_directory_whose_name_is_too_long_is_refused_with_its_length() {
        let state = Path::new("/tmp").join("x".repeat(100));
        let error = bind(&state).map(drop).unwrap_err();
        assert!(error.to_string().contains("128 bytes") && error.to_string().contains("at most 107"), "{error}");
    }
}
