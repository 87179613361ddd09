//! `make bench-segments`: see `tidemark_integration::segment_sizes`. `DATA=directory` keeps the node's files there, and takes
//! them from there the next time.

use std::process::ExitCode;

use anyhow::{Result, bail};
use tidemark_integration::segment_sizes;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let data = std::env::var_os("DATA").filter(|data| !data.is_empty()).map(Into::into);
    let report = tokio::select! {
        report = segment_sizes::run(data) => report?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    };
    println!("{report}");
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
