//! Names of keys in etcd: those of a cluster start with `/tidemark/v1/<cluster>/`, and those of the coordinator itself with `~/` below.

/// What the coordinator keeps for itself starts with this; nobody else lists or watches it.
pub(super) const OWN: &str = "~";

/// Generation of the state, decimal; absent while it is 0.
pub(super) const GENERATION: &str = "~/generation";

/// What tells this state from copies of it and from the one before it was lost.
pub(super) const OPENING: &str = "~/opening";

/// Place of a transaction that is under way.
pub(super) fn slot(node: &str, number: usize) -> String {
    format!("~/slot/{node}/{number}")
}

/// Names of the keys of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(cluster: &str) -> Self {
        Self { prefix: format!("/tidemark/v1/{cluster}/") }
    }

    /// Where etcd has a key.
    pub(super) fn full(&self, key: &str) -> Vec<u8> {
        format!("{}{key}", self.prefix).into_bytes()
    }

    /// The key that etcd has there; `None` for what is not this cluster's or no text.
    pub(super) fn own(&self, full: &[u8]) -> Option<String> {
        let own = full.strip_prefix(self.prefix.as_bytes())?;
        String::from_utf8(own.to_vec()).ok()
    }

    /// The range of all keys that start with `prefix` and are above `after`: first, inclusive, and end, exclusive.
    pub(super) fn range(&self, prefix: &str, after: Option<&str>) -> (Vec<u8>, Vec<u8>) {
        let end = if prefix.is_empty() { self.full(OWN) } else { successor(self.full(prefix)) };
        let above = after.map(|after| [self.full(after), vec![0]].concat());
        let first = above.map_or_else(|| self.full(prefix), |above| above.max(self.full(prefix)));
        (first, end)
    }
}

/// The least name above all that start with `prefix`, which is text and so has a byte below 255.
fn successor(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            break;
        }
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_starts_with_the_prefix_and_nothing_of_the_coordinators_own() {
        let keys = Keys::new("c");
        let holds = |prefix: &str, after: Option<&str>, key: &str| {
            let (first, end) = keys.range(prefix, after);
            (first..end).contains(&keys.full(key))
        };
        assert!(holds("a/", None, "a/") && holds("a/", None, "a/\u{10ffff}") && !holds("a/", None, "a0"));
        assert!(holds("", None, "a") && holds("", None, "z/z") && !holds("", None, GENERATION));
        assert!(!holds("a/", Some("a/b"), "a/b") && holds("a/", Some("a/b"), "a/b0") && holds("a/", Some("Z"), "a/a"));
        assert_eq!(keys.own(&keys.full("a/b")).as_deref(), Some("a/b"));
        assert_eq!((keys.own(b"/other"), keys.own(&[keys.full("a"), vec![255]].concat())), (None, None));
    }
}
