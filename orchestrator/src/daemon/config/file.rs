//! The configuration file, TOML: what is wrong in it is named with its line and column.

use std::{fs, ops::Range, path::Path};

use toml::de::{DeTable, DeValue};

use super::{ConfigError, RawConfig};

impl RawConfig {
    /// The settings of a file, each one that it gives being sound; flags may override them.
    ///
    /// # Errors
    /// [`ConfigError::Read`]; [`ConfigError::Parse`] and [`ConfigError::At`] with line and column.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let raw: Self = toml::from_str(text).map_err(|error| {
            let (line, column) = place(text, error.span().unwrap_or_default());
            ConfigError::Parse { path: path.to_owned(), line, column, reason: error.message().to_owned() }
        })?;
        match raw.check() {
            Ok(_) => Ok(raw),
            Err(error) => Err(located(path, text, error)),
        }
    }
}

/// The error with the place of the value that it is about.
fn located(path: &Path, text: &str, error: ConfigError) -> ConfigError {
    let Some(span) = error.setting().and_then(|setting| span(text, setting)) else { return error };
    let (line, column) = place(text, span);
    ConfigError::At { path: path.to_owned(), line, column, source: Box::new(error) }
}

/// Where the value of a setting is; within a section the setting is `section.name`.
fn span(text: &str, setting: &str) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let (mut table, mut span) = (root.get_ref().clone(), None);
    for name in setting.split('.') {
        let (_, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
        span = Some(value.span());
        if let DeValue::Table(below) = value.clone().into_inner() {
            table = below;
        }
    }
    span
}

/// Line and column of a place, both from 1; columns are characters.
fn place(text: &str, span: Range<usize>) -> (usize, usize) {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use tidemark_gateway::causes::joined;

    use super::*;
    use crate::daemon::config::RawAllow;

    fn parse(text: &str) -> Result<RawConfig, String> {
        RawConfig::parse(Path::new("d.toml"), text).map_err(|error| joined(&error))
    }

    #[test]
    fn what_a_file_does_not_say_has_its_default() {
        assert_eq!(parse("").unwrap(), RawConfig::default());
        let text = "state = \"/s\"\nconsolidations = 3\n[allow]\nprograms = [\"/usr/bin/nodetool\"]\n";
        let allow = RawAllow { programs: vec!["/usr/bin/nodetool".into()], ..RawAllow::default() };
        let expected = RawConfig { state: "/s".into(), consolidations: 3, allow: Some(allow), ..RawConfig::default() };
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn every_error_has_its_line_and_column() {
        for (text, place, word) in [
            ("state = \"/s\"\nlistn = \"x\"\n", "d.toml:2:1", "listn"),
            ("state = ", "d.toml:1:9", ""),
            ("\nconsolidations = \"3\"\n", "d.toml:2:18", "string"),
            ("node = \"ä\"\nlisten = \"0.0.0.0:1\"\n", "d.toml:2:10", "loopback"),
            ("consolidations = 0\n", "d.toml:1:18", "from 1 to 64"),
            ("[allow]\nprograms = [\"/a\"]\ncredentials = [\"b\"]\n", "d.toml:3:15", "absolute"),
            ("[allow]\nprogram = []\n", "d.toml:2:1", "program"),
            ("version = 2\n", "d.toml:1:11", "version 1"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(place) && error.contains(word), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_absent_is_named() {
        let error = RawConfig::read(Path::new("/nonexistent/d.toml")).unwrap_err();
        assert!(joined(&error).contains("/nonexistent/d.toml"), "{error}");
    }
}
