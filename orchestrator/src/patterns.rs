//! Patterns of objects: parts joined by `/`, `*` for any text within a part.

use tidemark_catalog::ids::ObjectName;

/// True where one of the patterns matches the object's printed name.
pub fn any_matches(patterns: &[String], object: &ObjectName) -> bool {
    let name = object.to_string();
    patterns.iter().any(|pattern| matches(pattern, &name))
}

fn matches(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), name.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) if part_matches(pattern.as_bytes(), part.as_bytes()) => {}
            _ => return false,
        }
    }
}

/// Greedy matching that goes back to the last `*`: time is bounded by the product of the lengths.
fn part_matches(pattern: &[u8], part: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < part.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == part[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    (p, t) = (at + 1, from + 1);
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_part() {
        for (pattern, name, expected) in [
            ("ks/orders", "ks/orders", true),
            ("ks/*", "ks/orders", true),
            ("*/*", "ks/orders", true),
            ("*", "ks/orders", false),
            ("ks/*", "ks", false),
            ("ks/o*r*s", "ks/orders", true),
            ("ks/o*x", "ks/orders", false),
            ("k*/**s", "ks/orders", true),
            ("ks/", "ks/orders", false),
        ] {
            let object: ObjectName = name.parse().unwrap();
            assert_eq!(any_matches(&[pattern.to_owned()], &object), expected, "{pattern} {name}");
        }
    }
}
