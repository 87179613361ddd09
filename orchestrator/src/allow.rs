//! What sources may have the daemon and its listeners execute and read.
//!
//! A specification names programs (`nodetool`) and files with credentials. Who may call the API may name any, unless the
//! section `[allow]` of the daemon's configuration file says which: then it holds for every source, whenever it was added, and
//! it is asked each time before a source is used. Names are compared as the system resolves them: links are followed, and a
//! program without a directory is looked for in `PATH`, as a listener does. What cannot be found is not allowed.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tidemark_listener_core::source::Uses;

/// What is allowed; a cheap handle. By default nothing is restricted.
#[derive(Clone, Debug, Default)]
pub struct Allow(Option<Arc<Lists>>);

/// Files and directories, absolute; a directory stands for all below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Programs that may be executed.
    pub programs: Vec<PathBuf>,
    /// Files with credentials that may be read.
    pub credentials: Vec<PathBuf>,
    /// What may be captured or restored to as files; anything where it is absent.
    pub data: Option<Vec<PathBuf>>,
}

impl Allow {
    /// These and nothing else.
    pub fn only(lists: Lists) -> Self {
        Self(Some(Arc::new(lists)))
    }

    /// What a source uses and may not, in words, sorted; empty where all is allowed.
    pub async fn refused(&self, uses: Uses) -> Vec<String> {
        let Some(lists) = self.0.clone() else { return Vec::new() };
        let looked = tokio::task::spawn_blocking(move || lists.refused(&uses)).await;
        looked.unwrap_or_else(|error| vec![format!("what it uses cannot be looked at: {error}")])
    }
}

impl Lists {
    fn refused(&self, uses: &Uses) -> Vec<String> {
        let programs: BTreeSet<&str> =
            uses.programs.iter().filter_map(|line| line.first()).map(String::as_str).collect();
        let programs = programs.into_iter().filter_map(|name| refused_program(name, &self.programs));
        let refused = |what, list| move |path: &PathBuf| refused_file(what, path, list);
        let credentials = uses.credentials.iter().filter_map(refused("credentials", Some(&self.credentials[..])));
        let data = uses.data.iter().filter_map(refused("data", self.data.as_deref()));
        programs.chain(credentials).chain(data).collect()
    }
}

fn refused_program(name: &str, list: &[PathBuf]) -> Option<String> {
    match find_program(name, std::env::var_os("PATH").as_deref()) {
        None => Some(format!("program {name:?} is not found")),
        Some(found) if allowed(&found, list) => None,
        Some(found) => Some(format!("program {name:?} is {}, which is not in allow.programs", found.display())),
    }
}

fn refused_file(what: &str, path: &Path, list: Option<&[PathBuf]>) -> Option<String> {
    let list = list?;
    match fs::canonicalize(path) {
        Err(error) => Some(format!("{}: {error}", path.display())),
        Ok(found) if allowed(&found, list) => None,
        Ok(found) if found == path => Some(format!("{} is not in allow.{what}", path.display())),
        Ok(found) => Some(format!("{} is {}, which is not in allow.{what}", path.display(), found.display())),
    }
}

/// The file that is executed under a name; one with a directory must be absolute.
fn find_program(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let executable = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let found = match name.contains('/') {
        true => Some(PathBuf::from(name)).filter(|path| path.is_absolute()),
        false => std::env::split_paths(path?).map(|directory| directory.join(name)).find(executable),
    };
    fs::canonicalize(found?).ok().filter(executable)
}

/// Whether a resolved path is one of these, or below one of them.
fn allowed(found: &Path, list: &[PathBuf]) -> bool {
    list.iter().filter_map(|entry| fs::canonicalize(entry).ok()).any(|entry| found.starts_with(entry))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for name in ["bin/nodetool", "bin/other", "etc/keys/cassandra", "etc/shadow"] {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink(home.path().join("etc/shadow"), home.path().join("etc/keys/link")).unwrap();
        symlink(home.path().join("bin/other"), home.path().join("bin/alias")).unwrap();
        home
    }

    fn uses(home: &Path, program: &str, credentials: &str) -> Uses {
        let program = vec![home.join(program).display().to_string(), "-p".to_owned()];
        Uses {
            programs: vec![program],
            credentials: vec![home.join(credentials)],
            data: vec![home.join("etc")],
            addresses: vec![],
        }
    }

    fn lists(home: &Path) -> Lists {
        Lists { programs: vec![home.join("bin/nodetool")], credentials: vec![home.join("etc/keys")], data: None }
    }

    #[tokio::test]
    async fn without_lists_everything_is_allowed_and_with_them_only_what_they_name() {
        let home = home();
        let home = home.path();
        assert!(Allow::default().refused(uses(home, "none", "none")).await.is_empty());
        let allow = Allow::only(lists(home));
        assert!(allow.refused(uses(home, "bin/nodetool", "etc/keys/cassandra")).await.is_empty());
        let refused = allow.refused(uses(home, "bin/other", "etc/shadow")).await;
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused[0].contains("bin/other") && refused[1].contains("allow.credentials"), "{refused:?}");
        let nothing = Allow::only(Lists { data: Some(Vec::new()), ..Lists::default() });
        assert_eq!(nothing.refused(uses(home, "bin/nodetool", "etc/keys/cassandra")).await.len(), 3);
    }

    #[test]
    fn links_lead_nowhere_else_and_what_is_absent_is_refused() {
        let home = home();
        let home = home.path();
        for (program, credentials) in
            [("bin/alias", "etc/keys/link"), ("bin/none", "etc/keys/none"), ("bin", "etc/keys/../shadow")]
        {
            assert_eq!(lists(home).refused(&uses(home, program, credentials)).len(), 2, "{program} {credentials}");
        }
        let list = Lists { programs: vec![home.join("bin/alias")], ..lists(home) };
        assert!(list.refused(&uses(home, "bin/other", "etc/keys/cassandra")).is_empty(), "an entry may be a link");
    }

    #[test]
    fn a_program_without_a_directory_is_the_one_that_the_path_gives() {
        let home = home();
        let path = home.path().join("bin");
        let find = |name: &str| find_program(name, Some(path.as_os_str()));
        assert_eq!(find("nodetool"), Some(fs::canonicalize(path.join("nodetool")).unwrap()));
        assert_eq!((find("none"), find("./nodetool"), find("bin/nodetool"), find("..")), (None, None, None, None));
    }
}
