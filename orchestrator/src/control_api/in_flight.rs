//! Requests that are being answered, by idempotency key: the same key does not start the same work twice at a time.
//!
//! What a key was used for before is in the coordinator; this covers the time until it is written there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use tidemark_web::api::Problem;

/// The requests; a cheap handle.
#[derive(Clone, Default)]
pub(super) struct InFlight {
    bodies: Arc<Mutex<HashMap<String, Value>>>,
}

/// One request that is being answered, until it is dropped.
#[derive(Debug)]
pub(super) struct Entered {
    bodies: Arc<Mutex<HashMap<String, Value>>>,
    key: String,
}

fn lock(bodies: &Mutex<HashMap<String, Value>>) -> MutexGuard<'_, HashMap<String, Value>> {
    bodies.lock().unwrap_or_else(PoisonError::into_inner)
}

impl InFlight {
    /// Takes the key for this body.
    ///
    /// # Errors
    /// A problem with status 409 where the same request is being answered, 422 where another one with this key is.
    pub(super) fn enter(&self, key: &str, body: &Value) -> Result<Entered, Problem> {
        let mut bodies = lock(&self.bodies);
        match bodies.get(key) {
            None => {
                bodies.insert(key.to_owned(), body.clone());
                Ok(Entered { bodies: Arc::clone(&self.bodies), key: key.to_owned() })
            }
            Some(known) if known == body => Err(Problem::conflict(
                "TM-API-0409",
                "the first request with this Idempotency-Key is still being answered",
            )
            .with_hint("send the same request again a little later: it then gets the first one's answer")),
            Some(_) => {
                let words = "another request with this Idempotency-Key is being answered";
                Err(Problem::refused("TM-API-0422", words).with_hint("a new request needs a new key"))
            }
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        lock(&self.bodies).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_taken_while_its_request_is_being_answered() {
        let requests = InFlight::default();
        let first = requests.enter("k", &json!(1)).unwrap();
        assert_eq!(requests.enter("k", &json!(1)).unwrap_err().status, 409);
        assert_eq!(requests.enter("k", &json!(2)).unwrap_err().status, 422);
        requests.enter("other", &json!(1)).unwrap();
        drop(first);
        requests.enter("k", &json!(2)).unwrap();
    }
}
