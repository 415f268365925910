//! Two ends of a wire, to try a virtual network with: `wire listen` prints its port and answers; `wire dial ADDRESS`
//! succeeds if it was answered.
#![allow(clippy::print_stdout, missing_docs)]

use std::env;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const WORD: &[u8; 5] = b"hello";
/// On a plugged wire an answer takes microseconds.
const LONGEST: Duration = Duration::from_millis(500);

fn main() -> io::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["listen"] => listen(),
        ["dial", address] => dial(address),
        _ => Err(io::Error::other(
            "usage: wire listen | wire dial ADDRESS:PORT",
        )),
    }
}

fn listen() -> io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", 0))?;
    println!("{}", listener.local_addr()?.port());
    for stream in listener.incoming() {
        // Whoever leaves early ends their own connection only.
        let _ = stream.and_then(|mut stream| stream.write_all(WORD));
    }
    Ok(())
}

fn dial(address: &str) -> io::Result<()> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, LONGEST)?;
    stream.set_read_timeout(Some(LONGEST))?;
    let mut word = [0; WORD.len()];
    stream.read_exact(&mut word)?;
    if &word == WORD {
        Ok(())
    } else {
        Err(io::Error::other("someone else answered"))
    }
}
