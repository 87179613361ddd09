//! `tidemark`: the command line of Tidemark.

use std::process::ExitCode;

use tidemark_gateway::Env;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tidemark_web::cli::main(std::env::args_os(), &Env::system()).await
}
