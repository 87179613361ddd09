//! One line for an error and its causes.

use std::error::Error;

/// The error's own words and those of its causes, joined by `: `; a cause that says the same as what it caused is left out.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if words != last {
            text.push_str(": ");
            text.push_str(&words);
        }
        last = words;
        cause = error.source();
    }
    text
}
