//! The kinds of sources: the only place that names their crates.

use std::{collections::BTreeMap, sync::Arc};

use tidemark_gateway::Env;
use tidemark_listener_cassandra::driver::CassandraDriver;
use tidemark_listener_core::driver::SourceDriver;

/// Drivers by kind; a cheap handle.
#[derive(Clone, Default)]
pub struct Drivers {
    by_kind: Arc<BTreeMap<&'static str, Arc<dyn SourceDriver>>>,
}

impl Drivers {
    /// All kinds that this program knows.
    pub fn all(env: &Env) -> Self {
        Self::of([Arc::new(CassandraDriver::new(env.clone())) as Arc<dyn SourceDriver>])
    }

    /// These drivers.
    pub fn of(drivers: impl IntoIterator<Item = Arc<dyn SourceDriver>>) -> Self {
        Self { by_kind: Arc::new(drivers.into_iter().map(|driver| (driver.kind(), driver)).collect()) }
    }

    /// The driver of a kind.
    pub fn get(&self, kind: &str) -> Option<Arc<dyn SourceDriver>> {
        self.by_kind.get(kind).cloned()
    }

    /// The kinds, for people.
    pub fn kinds(&self) -> String {
        self.by_kind.keys().copied().collect::<Vec<_>>().join(", ")
    }
}
