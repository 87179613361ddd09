//! What is done while a stream gives nothing: an idle deployment is made to give an event, where the operator named a
//! collection for it.

use tidemark_gateway::Env;
use tidemark_listener_core::{
    failure::Failure,
    progress::{Progress, ProgressSink},
};

use crate::{codes::CAPTURE, connect::Server, event::Namespace, raw::Builder};

/// See the module.
pub(super) struct Beat<'a> {
    pub(super) whole: &'a Server,
    pub(super) heartbeat: Option<&'a Namespace>,
    pub(super) env: &'a Env,
    pub(super) progress: &'a ProgressSink,
}

impl Beat<'_> {
    /// Tells that somebody waits, and writes the one document.
    pub(super) async fn now(&self) -> Result<(), Failure> {
        (self.progress)(Progress { phase: "wait for proof".to_owned(), done: 0, total: 0, unit: "bytes".to_owned() });
        let Some(Namespace { database, collection }) = self.heartbeat else { return Ok(()) };
        let own = Builder::default().text("_id", "tidemark");
        let at = Builder::default().text("at", &self.env.now().to_string()).finish();
        let update = Builder::default()
            .document("q", &own.finish())
            .document("u", &Builder::default().document("$set", &at).finish())
            .truth("upsert", true)
            .finish();
        let command = Builder::default().text("update", collection).documents("updates", [&update[..]]).finish();
        self.whole.write(database, command).await.map(drop).map_err(|error| error.coded(CAPTURE))
    }
}
