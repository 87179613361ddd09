//! SSTables that Cassandra's own code writes without a server, so that replicas differ as wanted.
//!
//! A script of writes, each with the clock of the server that executes it and the files that get it, is run by
//! `cassandra/WriteSstables.java` within one process: statements are parsed and executed as a coordinator does, updates of
//! one partition and file are merged as a memtable does, and files are written as a flush does.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{cassandra::offline::Offline, cql::Raw, journal::statement::Statement};

const PROGRAM: &str = include_str!("../cassandra/WriteSstables.java");

/// What is to be written.
#[derive(Debug, Default)]
pub struct Script {
    lines: String,
}

impl Script {
    /// Adds a `CREATE` statement of a keyspace, type or table.
    pub fn create(&mut self, statement: &str) {
        self.line(&["S", statement]);
    }

    /// The writes that follow are to a table that was created, and go into files below `directory`: file n is SSTable n in
    /// the subdirectory n; a file without writes is not made.
    pub fn table(&mut self, keyspace: &str, table: &str, directory: &Path) {
        self.line(&["T", keyspace, table, &directory.display().to_string()]);
    }

    /// File n of the table is of this version (`nb`, `oa` or `da`), compressed by these options: name, value.
    pub fn form(&mut self, file: u32, version: &str, compression: &[(String, String)]) {
        let options: Vec<String> = compression.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.line(&["F", &file.to_string(), version, &options.join(",")]);
    }

    /// Adds a write that a server executes at `clock_seconds` (s since 1970), in these files.
    pub fn write(&mut self, clock_seconds: i64, files: &[u32], statement: &Statement) {
        let files: Vec<String> = files.iter().map(u32::to_string).collect();
        let values: Vec<String> = statement.values.0.iter().map(value).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let fixed = ["W", &clock_seconds.to_string(), &files.join(","), &statement.text];
        self.line(&[&fixed, &values[..]].concat());
    }

    /// Writes the files, by a configuration.
    ///
    /// # Errors
    /// Where Cassandra refuses a statement, naming the line of the script, or cannot write.
    pub fn run(&self, by: &Offline) -> Result<()> {
        let directory = tempfile::tempdir()?;
        let (program, script) = (directory.path().join("WriteSstables.java"), directory.path().join("script"));
        fs::write(&program, PROGRAM)?;
        fs::write(&script, &self.lines)?;
        let script = script.to_str().context("path of the script")?;
        by.run(&program, &[script]).map(drop)
    }

    fn line(&mut self, fields: &[&str]) {
        self.lines.push_str(&fields.join("\t"));
        self.lines.push('\n');
    }
}

fn value(raw: &Raw) -> String {
    match raw {
        Raw::Unset => "?".to_owned(),
        Raw::Null => "-".to_owned(),
        Raw::Bytes(bytes) => format!("x{}", hex::encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cql::Values;

    #[test]
    fn a_script_has_a_line_per_step() {
        let mut script = Script::default();
        script.create("CREATE TABLE a");
        script.table("ks", "a", Path::new("/files"));
        script.form(4, "da", &[("class".into(), "LZ4Compressor".into()), ("chunk_length_in_kb".into(), "4".into())]);
        let values = Values(vec![Raw::int(7), Raw::Null, Raw::Unset, Raw::Bytes(bytes::Bytes::new())]);
        script.write(5, &[1, 4], &Statement { text: "INSERT ?".into(), values, idempotent: true });
        assert_eq!(
            script.lines,
            "S\tCREATE TABLE a\nT\tks\ta\t/files\n\
             F\t4\tda\tclass=LZ4Compressor,chunk_length_in_kb=4\n\
             W\t5\t1,4\tINSERT ?\tx00000007\t-\t?\tx\n"
        );
    }
}
