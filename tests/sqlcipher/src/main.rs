//! SQLCipher, in its turn: a line with what to do, a line with how many microseconds it took. `FILE ROUND` name the file
//! to be made and the records. What it does is what plain SQLite does in core/twin/examples/vault, and is compiled from the
//! same files.

#[path = "../../../core/twin/examples/vault/plain.rs"]
mod plain;
#[path = "../../../core/twin/examples/vault/rows.rs"]
mod rows;
#[path = "../../../core/twin/examples/vault/store.rs"]
mod store;
#[path = "../../../core/twin/examples/vault/work.rs"]
#[allow(
    dead_code,
    reason = "the other side of the comparison needs more of it"
)]
mod work;

use std::io::{BufRead, Write};
use std::path::Path;

use plain::Plain;
use store::{Failure, Store};
use work::{Rows, perform};

/// Raw, as our own key is: neither stretches a password while it is measured.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let (Some(file), Some(round)) = (words.next(), words.next()) else {
        return Err("twin-sqlcipher FILE ROUND".into());
    };
    let rows = Rows::new(round.parse()?);
    let mut cipher = Plain::create(Path::new(&file), Some(KEY))?;
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        match line?.as_str() {
            "durability" => writeln!(output, "{}", cipher.durability()?)?,
            "close" => {
                writeln!(output, "{}", cipher.close()?)?;
                return Ok(());
            }
            work => writeln!(output, "{}", perform(&mut cipher, &rows, work.parse()?)?)?,
        }
        output.flush()?;
    }
    Ok(())
}
