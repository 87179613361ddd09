//! Parts of a test that share what is dear to start: run one after another, each under its name, whatever became of those before.
//!
//! The test itself is called `in_turn`. `ONLY=name` runs the parts whose names start so, as it does tests of other modules.

use std::env;

use anyhow::{Result, bail};
use tidemark_gateway::Env;

/// The parts that are run, and what became of them.
#[derive(Debug)]
pub struct Parts {
    only: String,
    ran: usize,
    failed: Vec<String>,
}

impl Parts {
    /// All parts, or those that the environment names.
    pub fn from_environment() -> Self {
        Self::of(&env::var("ONLY").unwrap_or_default())
    }

    fn of(only: &str) -> Self {
        Self { only: only.to_owned(), ran: 0, failed: Vec::new() }
    }

    /// Runs a part if it is wanted and says how it ended; what it gives, unless it failed. A part may have several of these.
    pub async fn run<T>(&mut self, name: &str, part: impl Future<Output = Result<T>>) -> Option<T> {
        if !name.starts_with(&self.only) {
            return None;
        }
        self.ran += 1;
        println!("part {name} …");
        let env = Env::system();
        let ended = part.await;
        let seconds = env.monotonic().as_secs();
        match &ended {
            Ok(_) => println!("part {name}: ok after {seconds} s"),
            Err(error) => println!("part {name}: FAILED after {seconds} s: {error:?}"),
        }
        ended.map_err(|error| self.failed.push(format!("part {name}: {error:?}"))).ok()
    }

    /// Ends the test.
    ///
    /// # Errors
    /// With all parts that failed, and where none was wanted.
    pub fn end(self) -> Result<()> {
        match (self.failed.is_empty(), self.ran) {
            (true, 0) => bail!("no part is called {}", self.only),
            (true, _) => Ok(()),
            (false, _) => bail!("{}", self.failed.join("\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[tokio::test]
    async fn a_part_that_fails_is_named_and_keeps_no_other_from_running() {
        let mut parts = Parts::of("");
        assert_eq!(parts.run("first", async { Err::<(), _>(anyhow!("it broke")) }).await, None);
        assert_eq!(parts.run("second", async { Ok(2) }).await, Some(2));
        let error = parts.end().unwrap_err().to_string();
        assert!(error.starts_with("part first: it broke") && !error.contains("second"), "{error}");
    }

    #[tokio::test]
    async fn only_those_that_are_named_are_run() {
        let mut parts = Parts::of("sec");
        assert_eq!(parts.run("first", async { Err::<(), _>(anyhow!("it broke")) }).await, None);
        assert_eq!(parts.run("second", async { Ok(2) }).await, Some(2));
        parts.end().unwrap();
        assert!(Parts::of("third").end().is_err());
    }
}
