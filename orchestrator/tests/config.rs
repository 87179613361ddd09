//! The daemon's program and its configuration file, from outside.

use std::{fs, path::Path, process::Command};

/// Exit code and standard error of the daemon's program.
fn tidemarkd(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemarkd"));
    for name in ["CONFIG", "STATE", "LISTEN", "TOKEN_FILE", "NODE"] {
        command.env_remove(format!("TIDEMARK_{name}"));
    }
    let ended = command.args(arguments).output().expect("the program runs");
    (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
}

fn file(directory: &Path, text: &str) -> String {
    let path = directory.join("tidemarkd.toml");
    fs::write(&path, text).expect("the directory is writable");
    path.display().to_string()
}

#[test]
fn a_checked_file_ends_with_0_and_a_wrong_one_with_2_and_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let good = file(directory.path(), "listen = \"127.0.0.1:0\"\n[allow]\nprograms = [\"/usr/bin/nodetool\"]\n");
    assert_eq!(tidemarkd(&["config", "check", &good]), (Some(0), String::new()));
    for (text, place) in [("lisen = 1\n", ":1:1: "), ("\nconsolidations = 99\n", ":2:18: consolidations is 99")] {
        let wrong = file(directory.path(), text);
        let (code, said) = tidemarkd(&["config", "check", &wrong]);
        assert!(code == Some(2) && said.contains(&format!("{wrong}{place}")), "{said}");
    }
    let (code, said) = tidemarkd(&["config", "check", "/nonexistent/x.toml"]);
    assert!(code == Some(2) && said.contains("/nonexistent/x.toml"), "{said}");
}

#[test]
fn a_daemon_does_not_start_with_wrong_settings_and_flags_are_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (code, said) = tidemarkd(&["--listen", "127.0.0.1:0"]);
    assert!(code == Some(2) && said.contains("state is not given"), "{said}");
    let config = file(directory.path(), "state = \"/s\"\ntoken_file = \"/t\"\n");
    let (code, said) = tidemarkd(&["--config", &config, "--consolidations", "0"]);
    assert!(code == Some(2) && said.contains("consolidations is 0") && !said.contains(".toml"), "{said}");
    let state = directory.path().join("no directory");
    fs::write(&state, "").unwrap();
    let (code, said) = tidemarkd(&["--config", &config, "--state", state.to_str().unwrap()]);
    assert!(code == Some(1) && said.contains("no directory"), "the state of the flag is used: {said}");
}
