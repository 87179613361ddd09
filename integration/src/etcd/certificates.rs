//! An authority and the certificates that it signs, by `openssl`, good for two days.

use std::{fs, path::Path, process::Command};

use anyhow::{Result, ensure};

/// Makes `ca.pem` and `ca.key`.
pub(super) fn authority(directory: &Path) -> Result<()> {
    let made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority"];
    openssl(directory, &[made.as_slice(), &["-keyout", "ca.key", "-out", "ca.pem"]].concat())
}

/// Makes `<name>.pem` and `<name>.key` with this extension.
pub(super) fn sign(directory: &Path, name: &str, extension: &str) -> Result<()> {
    let file = |suffix: &str| format!("{name}.{suffix}");
    let (key, request, certificate, extensions) = (file("key"), file("csr"), file("pem"), file("ext"));
    fs::write(directory.join(&extensions), extension)?;
    let subject = format!("/CN={name}");
    let asked = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-keyout", &key, "-out", &request];
    openssl(directory, &asked)?;
    let signed =
        ["x509", "-req", "-days", "2", "-in", &request, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(directory, &[signed.as_slice(), &["-extfile", &extensions, "-out", &certificate]].concat())
}

fn openssl(directory: &Path, arguments: &[&str]) -> Result<()> {
    let ran = Command::new("openssl").current_dir(directory).args(arguments).output()?;
    ensure!(ran.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}
