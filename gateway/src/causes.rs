//! An error and its causes.

use std::{error::Error, iter};

/// The error itself, then its causes, outermost first.
pub fn of<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    iter::successors(Some(error), |error| (**error).source())
}

/// One line: `error` and its causes, outermost first, joined by `: `. A cause whose text the line holds already is not
/// repeated: some libraries print their causes themselves.
pub fn joined(error: &(dyn Error + 'static)) -> String {
    let mut texts = of(error).map(ToString::to_string);
    let mut line = texts.next().unwrap_or_default();
    for text in texts {
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn causes_follow_and_are_not_repeated() {
        let inner = Layer("disk full", None);
        let middle = Layer("write f: disk full", Some(Box::new(inner)));
        let outer = Layer("save", Some(Box::new(middle)));
        assert_eq!(of(&outer).count(), 3);
        assert_eq!(joined(&outer), "save: write f: disk full");
    }
}
