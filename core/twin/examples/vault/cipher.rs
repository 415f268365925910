//! SQLCipher. It and SQLite exclude each other in one program, so that it is one of its own (`tests/sqlcipher`), which
//! works in its turn like the others.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::store::Failure;
use super::work::Work;

/// The program, and its side of a conversation: a line with what to do, a line with how long it took.
pub struct Cipher {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Cipher {
    /// Starts the program on a new file, with the records of a round.
    pub fn start(program: &Path, file: &Path, round: u64) -> Result<Self, Failure> {
        let mut child = Command::new(program)
            .arg(file)
            .arg(round.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take());
        let (Some(to), Some(from)) = pipes else {
            return Err("the program with SQLCipher has no pipes".into());
        };
        Ok(Self {
            child,
            to,
            from: BufReader::new(from),
        })
    }

    /// How durable it is.
    pub fn durability(&mut self) -> Result<String, Failure> {
        self.ask("durability")
    }

    /// Does it; returns the microseconds that it took there.
    pub fn perform(&mut self, work: Work) -> Result<f64, Failure> {
        Ok(self.ask(&work.to_string())?.parse()?)
    }

    /// Closes it and returns the bytes that its file takes.
    pub fn close(mut self) -> Result<u64, Failure> {
        let bytes = self.ask("close")?.parse()?;
        self.child.wait()?;
        Ok(bytes)
    }

    fn ask(&mut self, what: &str) -> Result<String, Failure> {
        writeln!(self.to, "{what}")?;
        self.to.flush()?;
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            return Err("the program with SQLCipher ended before its time".into());
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for Cipher {
    fn drop(&mut self) {
        // After it was closed it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
