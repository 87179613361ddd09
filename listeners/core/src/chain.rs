//! One line for an error and its causes.

use std::error::Error;

/// `error` and its causes, outermost first, joined by `: `. A cause whose text the line holds already is not repeated: some
/// libraries print their causes themselves.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = inner.source();
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
        assert_eq!(chain(&outer), "save: write f: disk full");
    }
}
