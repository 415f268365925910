//! The `twin` command: a device in a terminal, a site, and the demonstration.
//!
//! Read top-down: [`args`] says what can be asked ([`usage`]: what could not be understood), [`commands`] answers, one
//! module a noun; [`output`], [`complaint`], [`password`], [`keyring`], [`qr`], [`words`] and [`stop`] are the terminal's
//! sides of it; [`memory`] keeps others out of it.

mod args;
mod commands;
mod complaint;
mod error;
mod keyring;
mod memory;
mod output;
mod password;
mod qr;
mod stop;
mod usage;
mod words;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command, LinkCommand};
use commands::{
    activity, create, demo, device, erase, export, file, find, history, link, list, login, online,
    record, site, status, watch,
};
use commands::{
    password as passwords, proof, recover, recovery, relay, relays, schema, sites, slots, vault,
};
use error::Result;

fn main() -> ExitCode {
    // Before there is anything in it.
    if let Err(error) = memory::close() {
        complaint::complain(&error.to_string());
        return ExitCode::FAILURE;
    }
    start()
}

#[tokio::main]
async fn start() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage::explain(&error),
    };
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complaint::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    stop::at_interrupt()?;
    let cx = &output::Context::new(args)?;
    match &args.command {
        Command::Create(options) => create::run(cx, options),
        Command::Recover(options) => recover::run(cx, options).await,
        Command::Recovery(command) => recovery::run(cx, command).await,
        Command::Status => status::run(cx),
        Command::Put(options) => record::put(cx, options),
        Command::Get { record } => record::get(cx, record),
        Command::List(options) => list::run(cx, options),
        Command::Delete { record } => record::delete(cx, record),
        Command::Erase(options) => erase::run(cx, options),
        Command::Restore { record } => record::restore(cx, record),
        Command::History(options) => history::run(cx, options),
        Command::Schema(options) => schema::run(cx, options),
        Command::File(command) => file::run(cx, command).await,
        Command::Search(options) => find::search(cx, options),
        Command::Query(options) => find::query(cx, options),
        Command::Watch(options) => watch::run(cx, options).await,
        Command::Device(command) => device::run(cx, command),
        Command::Link(LinkCommand::Offer(options)) => link::offer(cx, options).await,
        Command::Link(LinkCommand::Accept(options)) => link::accept(cx, options).await,
        Command::Link(LinkCommand::Invite(options)) => link::invite(cx, options).await,
        Command::Link(LinkCommand::Join(options)) => link::join(cx, options).await,
        Command::Sync(options) => online::sync(cx, options).await,
        Command::Run(options) => online::run(cx, options).await,
        Command::Login(options) => login::run(cx, options).await,
        Command::Sites(options) => sites::run(cx, options),
        Command::Proof(options) => proof::run(cx, options),
        Command::Activity => activity::run(cx),
        Command::Slots(options) => slots::run(cx, options),
        Command::Password => passwords::change(cx),
        Command::Export(options) => export::export(cx, options),
        Command::Check(options) => export::check(cx, options),
        Command::Import(options) => export::import(cx, options),
        Command::Vault(command) => vault::run(cx, command),
        Command::Site(options) => site::run(cx, options).await,
        Command::Relays(options) => relays::run(cx, options),
        Command::Relay(options) => relay::run(cx, options).await,
        Command::Demo(options) => demo::run(cx, options).await,
    }
}
