//! The seam [`Source`]: what the orchestrator asks of every kind of source, and the family that it belongs to.
//!
//! `orchestrator/src/sources.rs` is the only place that names the implementations. They hold no state: what must be remembered is
//! in the store, at the source, or in the checkpoint that they are handed. `docs/add-a-source.md` shows how one is made.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::{ids::ObjectName, stored::StoredRef};

use crate::{blocks::BlockSource, check, failure::Failure, records::RecordSource, restorer::Restorer};

/// A kind of source.
#[async_trait]
pub trait Source: Send + Sync {
    /// Name of the kind, for example `cassandra`; lower-case letters, digits and `-`, the same for ever: entries carry it.
    fn kind(&self) -> &'static str;

    /// Checks the shape of a source's specification (the JSON object given at `source add`). Connects to nothing.
    ///
    /// # Errors
    /// [`Failure`] naming the field.
    fn validate(&self, spec: &Value) -> Result<(), Failure>;

    /// What the daemon and its listeners execute and read because a specification names it. Nothing is opened or connected to.
    /// Only what is named here can be shown to operators and be restricted: name all of it.
    ///
    /// # Errors
    /// As [`Source::validate`].
    fn uses(&self, spec: &Value) -> Result<Uses, Failure>;

    /// Checks what a policy says in this kind's own words. An empty object is what a policy says that names nothing.
    ///
    /// # Errors
    /// [`Failure`] naming the field; one that is not known is refused.
    fn validate_options(&self, options: &Value) -> Result<(), Failure>;

    /// The same options with everything that holds where nothing is said, so that two that mean the same are equal. Options that
    /// cannot be read come back as they are.
    fn normal_options(&self, options: &Value) -> Value {
        options.clone()
    }

    /// Options for a version of objects that no policy was made for (their present state, kept before an undo): what may be taken
    /// for said of all of them. `policies` holds, by object, the options of all policies that name it.
    fn undeclared(&self, policies: &[Vec<&Value>]) -> Value {
        let _ = policies;
        Value::Object(serde_json::Map::new())
    }

    /// Number of parts, joined by `/`, of the names of all its objects: a pattern of another number matches none. `None` where names
    /// differ in it.
    fn name_parts(&self) -> Option<usize> {
        None
    }

    /// Connects to the live source and says how it stands; problems are lines, not errors.
    async fn check(&self, spec: &Value) -> Vec<check::Line>;

    /// Objects of the live source, sorted by name; those that cannot be protected too, marked so.
    ///
    /// # Errors
    /// [`Failure`] where the source cannot be reached or read.
    async fn objects(&self, spec: &Value) -> Result<Vec<LiveObject>, Failure>;

    /// One listener per partition of the source that should be captured.
    ///
    /// # Errors
    /// [`Failure`] where the specification does not say which.
    async fn listeners(&self, spec: &Value) -> Result<Vec<ListenerSpec>, Failure>;

    /// What the listeners are to do next, given their answers to all steps so far; the same for the same answers. Partitions
    /// that did not answer a step are asked no more. A source whose partitions need no comparing ships at once.
    ///
    /// # Errors
    /// [`Failure`] where an answer cannot be read.
    async fn next_step(&self, store: &Arc<dyn ObjectStore>, steps: &[Answers]) -> Result<NextStep, Failure> {
        let _ = (store, steps);
        Ok(NextStep::Ship(Asked::default()))
    }

    /// What becomes of what its listeners ship.
    fn family(&self) -> Family<'_>;

    /// How its versions come back.
    fn restorer(&self) -> &dyn Restorer;
}

/// What a specification has the daemon's host execute, read and connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Command lines, each with its program first: a path, or a name that is looked for in `PATH`.
    pub programs: Vec<Vec<String>>,
    /// Files with credentials, absolute.
    pub credentials: Vec<PathBuf>,
    /// Files and directories that are captured, or restored to, absolute.
    pub data: Vec<PathBuf>,
    /// Where it connects to, and hands in what the credentials say: `host:port` or a URL without secrets.
    pub addresses: Vec<String>,
}

/// The two families of sources.
#[derive(Clone, Copy)]
pub enum Family<'a> {
    /// Keyed records: what the replicas hold is collapsed into one state.
    Records(&'a dyn RecordSource),
    /// Bytes at offsets: what was shipped is sealed.
    Blocks(&'a dyn BlockSource),
}

/// Answers to one step of a capture, by listener: references of what each has stored.
pub type Answers = BTreeMap<String, StoredRef>;

/// A step of a capture.
#[derive(Clone, Debug, PartialEq)]
pub enum NextStep {
    /// Nothing is shipped; the answers are compared.
    Prepare(Asked),
    /// The last step: the objects are shipped, the answers are slice manifests.
    Ship(Asked),
}

/// What is asked of the listeners in a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// By listener, in the source kind's own words; null of those that are not named.
    pub asks: BTreeMap<String, Value>,
    /// What people should know about what was compared, a line each.
    pub notes: Vec<String>,
}

/// An object of a live source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveObject {
    /// Its name.
    pub object: ObjectName,
    /// The source's own id.
    pub object_id: String,
    /// False where it cannot be protected.
    pub supported: bool,
    /// Why not, or other words for people.
    pub note: Option<String>,
}

/// How to start a listener as a local process. Secrets go into `secret_environment`, never into `arguments`.
#[derive(Clone, Debug)]
pub struct ListenerSpec {
    /// Id within the source (for Cassandra: the node's address).
    pub id: String,
    /// Binary name, beside the orchestrator's own.
    pub program: String,
    /// Arguments after the control arguments (`--control URL --listener ID --source ID`).
    pub arguments: Vec<String>,
    /// Variables with credentials for the source.
    pub secret_environment: Vec<(String, String)>,
    /// Names of variables of the daemon's own environment that the source's tools need, beside those that every listener gets
    /// (`PATH`, `HOME`, `LANG`, `TZ`, `TMPDIR`, certificates and logging).
    pub inherited: &'static [&'static str],
}
