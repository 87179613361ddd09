//! Which collections a capture is about.

use tidemark_catalog::pattern::Patterns;

use crate::event::Namespace;

/// What is captured: by pattern, without the server's own and without the heartbeat.
pub(super) struct Chosen {
    patterns: Patterns,
    heartbeat: Option<Namespace>,
}

impl Chosen {
    pub(super) fn new(patterns: Patterns, heartbeat: Option<Namespace>) -> Self {
        Self { patterns, heartbeat }
    }

    /// True of a collection that is captured.
    pub(super) fn has(&self, namespace: &Namespace) -> bool {
        let own = matches!(namespace.database.as_str(), "admin" | "config" | "local");
        let system = namespace.collection.starts_with("system.");
        let name = [namespace.database.as_str(), namespace.collection.as_str()];
        !own && !system && self.heartbeat.as_ref() != Some(namespace) && self.patterns.matches(&name)
    }

    /// True where what happened to `namespace` (all of a database where it names no collection) can be about what is
    /// captured.
    pub(super) fn touches(&self, namespace: &Namespace) -> bool {
        match namespace.collection.is_empty() {
            true => self.patterns.touches(&namespace.database),
            false => self.has(namespace),
        }
    }
}
