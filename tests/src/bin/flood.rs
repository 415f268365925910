//! Strangers at a device's door who want to be a burden. Each prints `there` when all of them are, and stays until its
//! standard input ends.
//!
//! - `flood silent COUNT ADDRESS`: connections that say nothing
//! - `flood half COUNT ADDRESS`: connections that send half of a first message of TLS, one byte a second
//! - `flood streams COUNT ADDRESS`: connections that are made in full, on each of which stream after stream is opened,
//!   and left without a word or let go of
#![allow(clippy::print_stdout, missing_docs)]

use std::error::Error;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use twin_net::{Address, Config, Node, Protocol, Reach};

/// The beginning of a ClientHello of 512 bytes.
const HALF: [u8; 9] = [22, 3, 1, 2, 0, 1, 0, 1, 252];
/// How long somebody who is refused tries.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many streams are held open at once.
const HELD: usize = 12;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [how, count, address] = words.as_slice() else {
        return Err("usage: flood silent | half | streams COUNT ADDRESS".into());
    };
    let count: usize = count.parse()?;
    let (there, mut arrived) = mpsc::channel(count.max(1));
    for _ in 0..count {
        let (there, address) = (there.clone(), address.clone());
        match how.as_str() {
            "silent" => tokio::spawn(silent(address, there)),
            "half" => tokio::spawn(half(address, there)),
            _ => tokio::spawn(streams(address.parse()?, there)),
        };
    }
    for _ in 0..count {
        arrived.recv().await;
    }
    println!("there");
    let wait = || std::io::read_to_string(std::io::stdin());
    tokio::task::spawn_blocking(wait).await??;
    std::process::exit(0)
}

/// Comes again whenever it is hung up on.
async fn silent(address: String, there: mpsc::Sender<()>) {
    loop {
        let stream = timeout(PATIENCE, TcpStream::connect(&address)).await;
        there.try_send(()).ok();
        match stream {
            Ok(Ok(stream)) => {
                stream.readable().await.ok();
            }
            _ => sleep(PATIENCE).await,
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn half(address: String, there: mpsc::Sender<()>) {
    loop {
        let stream = timeout(PATIENCE, TcpStream::connect(&address)).await;
        there.try_send(()).ok();
        if let Ok(Ok(mut stream)) = stream {
            let rest = std::iter::repeat(&0);
            for byte in HALF.iter().chain(rest) {
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
                sleep(Duration::from_secs(1)).await;
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn streams(address: Address, there: mpsc::Sender<()>) {
    let config = Config {
        listen: Vec::new(),
        mdns: false,
        reach: Reach::Any,
    };
    let Ok((node, _events)) = Node::start(config).await else {
        return;
    };
    let mut held = std::collections::VecDeque::new();
    loop {
        let Ok(peer) = node.connect(&[address], None).await else {
            there.try_send(()).ok();
            sleep(PATIENCE).await;
            continue;
        };
        while let Ok(stream) = node.open(peer, Protocol::Sync).await {
            there.try_send(()).ok();
            held.push_back(stream);
            if held.len() > HELD {
                held.pop_front();
            }
        }
    }
}
