//! A wire with somebody listening: what two ends send each other is passed on and kept.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream, UdpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use twin_net::{Address, Transport};

/// Pieces as they were read (TCP) or datagrams (UDP).
#[derive(Default)]
pub struct Heard {
    pub to_server: Vec<Vec<u8>>,
    pub to_client: Vec<Vec<u8>>,
}

pub type Capture = Arc<Mutex<Heard>>;

type Side = fn(&mut Heard) -> &mut Vec<Vec<u8>>;

fn socket(address: Address) -> SocketAddr {
    (address.ip(), address.port()).into()
}

/// Where to dial instead of `target`, for one connection.
pub async fn tap_tcp(target: Address) -> (Address, Capture) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().into();
    let capture = Capture::default();
    let heard = Arc::clone(&capture);
    tokio::spawn(async move {
        let (client_in, client_out) = listener.accept().await.unwrap().0.into_split();
        let server = TcpStream::connect(socket(target)).await.unwrap();
        let (server_in, server_out) = server.into_split();
        let there = pass_on(client_in, server_out, &heard, |heard| &mut heard.to_server);
        let back = pass_on(server_in, client_out, &heard, |heard| &mut heard.to_client);
        tokio::join!(there, back);
    });
    (address, capture)
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, heard: &Capture, side: Side) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        side(&mut heard.lock().unwrap()).push(buffer[..count].to_vec());
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// The same for UDP, for one client.
pub async fn tap_udp(target: Address) -> (Address, Capture) {
    let outside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let inside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    inside.connect(socket(target)).await.unwrap();
    let address = Address::from(outside.local_addr().unwrap()).over(Transport::Quic);
    let capture = Capture::default();
    let heard = Arc::clone(&capture);
    tokio::spawn(async move {
        let (mut client, mut there, mut back) = (None, vec![0; 64 << 10], vec![0; 64 << 10]);
        loop {
            tokio::select! {
                Ok((count, from)) = outside.recv_from(&mut there) => {
                    client = Some(from);
                    heard.lock().unwrap().to_server.push(there[..count].to_vec());
                    inside.send(&there[..count]).await.ok();
                }
                Ok(count) = inside.recv(&mut back) => {
                    heard.lock().unwrap().to_client.push(back[..count].to_vec());
                    outside.send_to(&back[..count], client.unwrap()).await.ok();
                }
                else => return,
            }
        }
    });
    (address, capture)
}
