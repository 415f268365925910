//! Both sides of a linking code that was carried far away: who it lures, and who comes.
//!
//! - `lure dial COUNT ADDRESS…`: as a phone that has scanned a code with these addresses, so many times
//! - `lure knock COUNT ADDRESS…`: as an attacker who has the code, with software of his own that knows no rules
//!
//! Each prints how many attempts ended with a connection.
#![allow(clippy::print_stdout, missing_docs)]

use std::error::Error;
use std::sync::Arc;

use tokio::task::JoinSet;
use twin_net::{Address, Config, Node, Reach};

/// How many calls one node makes at a time.
const AT_ONCE: usize = 25;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [how, count, addresses @ ..] = words.as_slice() else {
        return Err("usage: lure dial | knock COUNT ADDRESS…".into());
    };
    let reach = match how.as_str() {
        "dial" => Reach::OnLinkOnly,
        "knock" => Reach::Any,
        _ => return Err("it either dials or knocks".into()),
    };
    let count: usize = count.parse()?;
    let addresses: Vec<Address> = addresses
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    let mut nodes = JoinSet::new();
    for first in (0..count).step_by(AT_ONCE) {
        let addresses = addresses.clone();
        nodes.spawn(attempts(reach, AT_ONCE.min(count - first), addresses));
    }
    let all = nodes.join_all().await.into_iter();
    println!("{} of {count}", all.sum::<Result<usize, _>>()?);
    Ok(())
}

/// So many attempts at once; how many succeeded.
async fn attempts(
    reach: Reach,
    count: usize,
    addresses: Vec<Address>,
) -> Result<usize, twin_net::Error> {
    let config = Config {
        listen: Vec::new(),
        mdns: false,
        reach,
    };
    let (node, _events) = Node::start(config).await?;
    let node = Arc::new(node);
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let (node, addresses) = (Arc::clone(&node), addresses.clone());
        calls.spawn(async move { node.connect(&addresses, None).await.is_ok() });
    }
    let answers = calls.join_all().await.into_iter();
    Ok(answers.filter(|is_connected| *is_connected).count())
}
