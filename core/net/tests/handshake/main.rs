//! Captured handshakes: our builds agree on a post-quantum key with each other, over TCP and over QUIC.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod capture;
mod hello;
mod initial;

use std::net::Ipv4Addr;

use capture::{Capture, tap_tcp, tap_udp};
use hello::Hello;
use twin_net::{Address, Config, Events, Node, Reach, Transport};

/// X25519MLKEM768 as IANA registers it: an X25519 and an ML-KEM-768 exchange, both of which would have to be broken.
const X25519MLKEM768: u16 = 0x11ec;

/// What the client sends for it (an encapsulation key of 1,184 bytes and 32), and what comes back (a ciphertext of
/// 1,088 bytes and 32).
const CLIENT_SHARE: usize = 1216;
const SERVER_SHARE: usize = 1120;

async fn node(over: Transport, reach: Reach) -> (Node, Events) {
    let config = Config {
        listen: vec![Address::new(Ipv4Addr::LOCALHOST.into(), 0).over(over)],
        mdns: false,
        reach,
    };
    Node::start(config).await.unwrap()
}

/// Connects two nodes through a tap, and reads what went by.
async fn captured(over: Transport, reach: Reach) -> (Hello, Hello) {
    let ((a, _a), (b, _b)) = (node(over, reach).await, node(over, reach).await);
    let target = b.addresses()[0];
    let (address, capture): (_, Capture) = match over {
        Transport::Tcp => tap_tcp(target).await,
        Transport::Quic => tap_udp(target).await,
    };
    a.connect(&[address], Some(b.key())).await.unwrap();
    let heard = capture.lock().unwrap();
    let (client, server) = match over {
        Transport::Tcp => (
            hello::behind_multistream(&heard.to_server.concat()),
            hello::behind_multistream(&heard.to_client.concat()),
        ),
        Transport::Quic => initial::crypto_streams(&heard.to_server, &heard.to_client),
    };
    (Hello::read(&client), Hello::read(&server))
}

fn is_post_quantum(client: &Hello, server: &Hello) {
    assert_eq!(
        (client.kind, server.kind),
        (hello::CLIENT_HELLO, hello::SERVER_HELLO)
    );
    // The client's guess was right: no second round, and nothing that could be talked down.
    assert!(
        client.shares.contains(&(X25519MLKEM768, CLIENT_SHARE)),
        "{client:x?}"
    );
    assert_eq!(server.shares, [(X25519MLKEM768, SERVER_SHARE)]);
    assert_eq!(server.versions, [hello::TLS_1_3]);
    // Nor does the client offer a version of TLS whose certificates could be read by whoever listens.
    assert_eq!(client.versions, [hello::TLS_1_3]);
}

#[tokio::test]
async fn tcp_agrees_on_a_post_quantum_key() {
    let (client, server) = captured(Transport::Tcp, Reach::Any).await;
    is_post_quantum(&client, &server);
}

#[tokio::test]
async fn quic_agrees_on_a_post_quantum_key() {
    let (client, server) = captured(Transport::Quic, Reach::Any).await;
    is_post_quantum(&client, &server);
}

#[tokio::test]
async fn linking_agrees_on_a_post_quantum_key() {
    let (client, server) = captured(Transport::Tcp, Reach::OnLinkOnly).await;
    is_post_quantum(&client, &server);
}
