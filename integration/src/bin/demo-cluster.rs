//! `make demo-cluster`: see `tidemark_integration::demo_cluster`.

use anyhow::{Result, bail};
use tidemark_integration::demo_cluster;

#[tokio::main]
async fn main() -> Result<()> {
    // Dropping the demo ends its servers, so that an interrupted run leaves nothing behind.
    let report = tokio::select! {
        report = demo_cluster::run() => report?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    };
    println!("\n{report}");
    Ok(())
}
