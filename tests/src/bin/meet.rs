//! Two devices that meet through a relay, and what comes of it: the network alone, without twins.
//!
//! - `meet wait RELAY` keeps a place at the relay, prints `key HEX`, and says back what it is told
//! - `meet call RELAY HEX SECONDS` calls that one through the relay, prints `relayed` or `direct` once it was answered;
//!   then waits so long for a direct connection, is answered once more, and prints how
#![allow(clippy::print_stdout, missing_docs)]

use std::error::Error;
use std::time::Duration;

use tokio::time::timeout;
use twin_net::{Config, Event, Events, Frames, Node, Protocol, Reach, RelayAddress, TransportKey};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (node, events) = Node::start(Config::everywhere(false, Reach::Any)).await?;
    match words[..] {
        ["wait", relay] => wait(&node, events, &relay.parse()?).await,
        ["call", relay, key, seconds] => {
            let patience = Duration::from_secs(seconds.parse()?);
            call(&node, events, &relay.parse()?, read_key(key)?, patience).await
        }
        _ => Err("usage: meet wait RELAY | call RELAY KEY SECONDS".into()),
    }
}

async fn wait(node: &Node, mut events: Events, relay: &RelayAddress) -> Result<()> {
    node.use_relay(relay)?;
    while let Some(event) = events.recv().await {
        match event {
            Event::Reachable { .. } => {
                let key = node.key();
                let hex = key.as_bytes().iter().map(|byte| format!("{byte:02x}"));
                println!("key {}", hex.collect::<String>());
            }
            Event::Incoming { frames, .. } => {
                tokio::spawn(say_back(frames));
            }
            _ => {}
        }
    }
    Ok(())
}

async fn say_back(mut frames: Frames) -> Result<()> {
    while let Some(frame) = frames.recv().await? {
        frames.send(&frame).await?;
    }
    Ok(frames.finish().await?)
}

async fn call(
    node: &Node,
    mut events: Events,
    relay: &RelayAddress,
    peer: TransportKey,
    patience: Duration,
) -> Result<()> {
    node.connect_through(relay, peer).await?;
    let first = node.open(peer, Protocol::Sync).await?;
    // The direct connection may have come about already.
    println!("{}", answered(node, peer, first).await?);
    // For who talks about nothing no direct way is looked for.
    let talk = node.open(peer, Protocol::Sync).await?;
    let direct = async { while !node.is_direct(&peer) && events.recv().await.is_some() {} };
    timeout(patience, direct).await.ok();
    drop(talk);
    let second = node.open(peer, Protocol::Sync).await?;
    println!("{}", answered(node, peer, second).await?);
    node.disconnect(peer).await?;
    Ok(())
}

/// Is answered, and tells how.
async fn answered(node: &Node, peer: TransportKey, mut frames: Frames) -> Result<&'static str> {
    let how = if node.is_direct(&peer) {
        "direct"
    } else {
        "relayed"
    };
    // More than libp2p lets through a circuit by itself.
    let said = vec![7; 200_000];
    frames.send(&said).await?;
    if frames.recv().await? != Some(said) {
        return Err("it was not said back".into());
    }
    frames.finish().await?;
    Ok(how)
}

fn read_key(hex: &str) -> Result<TransportKey> {
    let mut key = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return Err("a key has 64 digits".into());
    }
    for (at, byte) in key.iter_mut().enumerate() {
        let digits = hex.get(2 * at..2 * at + 2).unwrap_or_default();
        *byte = u8::from_str_radix(digits, 16)?;
    }
    Ok(TransportKey::from_bytes(key))
}
