//! A file that is there whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Makes the file `path`, which only its owner can read, with what `write` puts into it, and makes it last. It is `beside` until it is
/// whole. An empty file is replaced.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] where the file is there and not empty. Nothing is left where writing it failed.
pub(super) fn create(path: &Path, beside: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    let made = write(&mut file).and_then(|()| file.sync_all()).and_then(|()| name(beside, path));
    // Where it was renamed it is gone.
    let _ = fs::remove_file(beside);
    made?;
    File::open(directory(path))?.sync_all()
}

/// A name in the directory of `path` that nothing has; `random` makes it so.
pub(super) fn beside(path: &Path, random: [u8; 8]) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", hex::encode(random)));
    path.with_file_name(name)
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn name(file: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(file, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => replace_empty(file, path),
        linked => linked,
    }
}

/// Of processes that find the empty file at once, one replaces it: they wait for each other, and look again.
fn replace_empty(file: &Path, path: &Path) -> io::Result<()> {
    let empty = OpenOptions::new().read(true).write(true).open(path)?;
    empty.lock()?;
    if fs::metadata(path)?.len() > 0 {
        return Err(ErrorKind::AlreadyExists.into());
    }
    fs::rename(file, path)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_could_not_be_written_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let full = |file: &mut File| file.write_all(b"tm").and(Err(ErrorKind::StorageFull.into()));
        let error = create(&path, &beside(&path, [1; 8]), full).unwrap_err();
        assert_eq!((error.kind(), names(dir.path())), (ErrorKind::StorageFull, Vec::<String>::new()));
        create(&path, &beside(&path, [1; 8]), |file| file.write_all(b"whole")).unwrap();
        assert_eq!(
            (fs::read(&path).unwrap().as_slice(), names(dir.path())),
            (b"whole".as_slice(), vec!["token".to_owned()])
        );
    }

    #[test]
    fn the_name_is_given_to_the_whole_file_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let write = |file: &mut File| {
            file.write_all(b"half")?;
            assert!(!path.exists(), "a crash here would leave a part under the name");
            file.write_all(b"half")
        };
        create(&path, &beside(&path, [1; 8]), write).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"halfhalf");
    }

    #[test]
    fn of_several_that_find_an_empty_file_one_replaces_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "").unwrap();
        let made: Vec<bool> = std::thread::scope(|scope| {
            let make = |n: u8| create(&path, &beside(&path, [n; 8]), |file| file.write_all(&[n])).is_ok();
            let threads: Vec<_> = (1..9_u8).map(|n| scope.spawn(move || make(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let winner = made.iter().position(|made| *made).unwrap();
        assert_eq!(made.iter().filter(|made| **made).count(), 1, "{made:?}");
        assert_eq!(fs::read(&path).unwrap(), [winner as u8 + 1]);
        assert_eq!(names(dir.path()), ["token"]);
    }
}
