//! `make demo`: see `tidemark_integration::demo`. `KEEP=1` leaves everything running.

use std::process::ExitCode;

use anyhow::{Result, bail};
use tidemark_integration::demo;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let keep = std::env::var_os("KEEP").is_some_and(|keep| keep == "1");
    // Dropping the demo ends its servers, so that an interrupted run leaves nothing behind.
    let report = tokio::select! {
        report = demo::run(keep) => report?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    };
    println!("\n{report}");
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
