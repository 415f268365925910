//! The small binary around the library: runs the site until it is interrupted.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use clap::Parser;
use twin_site::{Options, Server, SiteError};

/// Log in with your twin: the reference site
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse().options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), SiteError> {
    let server = Server::bind(options).await?;
    println!("{}", server.url());
    server
        .run(async {
            if tokio::signal::ctrl_c().await.is_err() {
                // Without a signal to wait for, the site runs until it is killed.
                std::future::pending::<()>().await;
            }
        })
        .await
}
