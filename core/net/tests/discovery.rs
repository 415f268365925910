//! Discovery ends with its node. (That it finds anybody takes two network namespaces: see the end-to-end tests.)
//! A file of its own, because it counts the threads of the process.
#![cfg(target_os = "linux")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::{fs, time::Duration};

use twin_net::{Config, Node, Reach};

fn threads_of_discovery() -> usize {
    let names = fs::read_dir("/proc/self/task")
        .unwrap()
        .flatten()
        .map(|task| {
            // A thread may end between listing and reading.
            fs::read_to_string(task.path().join("comm")).unwrap_or_default()
        });
    names.filter(|name| name.trim() == "twin-mdns").count()
}

async fn until_threads_are(wanted: usize) {
    let settled = async {
        while threads_of_discovery() != wanted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), settled)
        .await
        .expect("threads of discovery linger");
}

#[tokio::test]
async fn discovery_ends_with_its_node() {
    let (node, _events) = Node::start(Config::everywhere(true, Reach::Any))
        .await
        .unwrap();
    until_threads_are(1).await;
    // Asking anew replaces the old tasks.
    for _ in 0..3 {
        node.network_changed().await.unwrap();
    }
    until_threads_are(1).await;
    drop(node);
    until_threads_are(0).await;
    let (node, _events) = Node::start(Config::everywhere(true, Reach::Any))
        .await
        .unwrap();
    node.shutdown().await;
    until_threads_are(0).await;
}
