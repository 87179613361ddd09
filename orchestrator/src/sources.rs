//! The kinds of sources: the only place that names their crates.

use std::{collections::BTreeMap, sync::Arc};

use tidemark_gateway::Env;
use tidemark_listener_cassandra::driver::CassandraDriver;
use tidemark_listener_core::source::Source;
use tidemark_listener_mongodb::driver::MongoDriver;

/// A kind of source.
pub(crate) type Driver = Arc<dyn Source>;

/// Drivers by kind; a cheap handle.
#[derive(Clone, Default)]
pub struct Drivers {
    by_kind: Arc<BTreeMap<&'static str, Driver>>,
}

impl Drivers {
    /// All kinds that this program knows.
    pub fn all(env: &Env) -> Self {
        Self::of([Arc::new(CassandraDriver::new(env.clone())) as Driver, Arc::new(MongoDriver::new(env.clone()))])
    }

    /// These drivers.
    pub fn of(drivers: impl IntoIterator<Item = Driver>) -> Self {
        Self { by_kind: Arc::new(drivers.into_iter().map(|driver| (driver.kind(), driver)).collect()) }
    }

    /// The source of a kind.
    pub fn get(&self, kind: &str) -> Option<Driver> {
        self.by_kind.get(kind).cloned()
    }

    /// The kinds, for people.
    pub fn kinds(&self) -> String {
        self.by_kind.keys().copied().collect::<Vec<_>>().join(", ")
    }
}
