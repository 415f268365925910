//! Two ends of a wire, to try a virtual network with, and bad company for the programs on it.
//!
//! - `wire listen` prints its port and answers everybody; `wire dial ADDRESS` succeeds if it was answered
//! - `wire say` prints its port and tells everybody what its standard input said, with the port for every `{port}`;
//!   `wire mute` answers nobody
//! - `wire ask ADDRESS` sends its standard input and prints the answer
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
        ["listen"] => serve(|mut stream| stream.write_all(WORD)),
        ["dial", address] => dial(address),
        ["say"] => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            serve(|stream| say(stream, &text))
        }
        ["mute"] => {
            let mut held = Vec::new();
            serve(|stream| {
                held.push(stream);
                Ok(())
            })
        }
        ["ask", address] => ask(address),
        _ => Err(io::Error::other(
            "usage: wire listen | dial ADDRESS:PORT | say | mute | ask ADDRESS:PORT",
        )),
    }
}

fn serve(mut answer: impl FnMut(TcpStream) -> io::Result<()>) -> io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", 0))?;
    println!("{}", listener.local_addr()?.port());
    for stream in listener.incoming() {
        // Whoever leaves early ends their own connection only.
        let _ = stream.and_then(&mut answer);
    }
    Ok(())
}

/// Waits for the first words of whoever calls, tells them `text` and hangs up.
fn say(mut stream: TcpStream, text: &str) -> io::Result<()> {
    let mut heard = [0; 4096];
    let _ = stream.read(&mut heard)?;
    let port = stream.local_addr()?.port().to_string();
    stream.write_all(text.replace("{port}", &port).as_bytes())
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

fn ask(address: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    io::copy(&mut io::stdin(), &mut stream)?;
    io::copy(&mut stream, &mut io::stdout())?;
    Ok(())
}
