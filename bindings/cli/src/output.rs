//! Where answers go: sentences for people, JSON for programs.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::Value as Json;
use tokio::sync::oneshot;
use twin::Twin;
use zeroize::Zeroizing;

use crate::args::Args;
use crate::complaint::complain;
use crate::error::{CliError, Result};
use crate::keyring::Keyring;
use crate::password;

/// The most bytes of a secret line: a guardian's share is the longest. Room for all of it from the start, so that no
/// copy is left behind by growing.
const MAX_SECRET: usize = 4096;

/// What every command needs to know.
pub struct Context {
    home: Option<PathBuf>,
    /// Whether to answer in JSON.
    pub json: bool,
    /// Whether to unlock with the keyring.
    keyring: bool,
}

impl Context {
    pub fn new(args: &Args) -> Result<Self> {
        Ok(Self {
            home: args.home.clone(),
            json: args.json,
            keyring: args.keyring,
        })
    }

    /// The folder of this device's vault.
    pub fn home(&self) -> Result<&Path> {
        self.home.as_deref().ok_or(CliError::NoHome)
    }

    /// The folder of a vault that is there: says that there is nothing to unlock before anything is asked.
    fn existing(&self) -> Result<&Path> {
        let home = self.home()?;
        Twin::look_for(home)?;
        Ok(home)
    }

    /// Unlocks this device.
    pub fn open(&self) -> Result<Twin> {
        Ok(self.unlocking(Twin::open)??)
    }

    /// What unlocks this device goes to `work`, with the folder of its vault.
    pub fn unlocking<T>(&self, work: impl FnOnce(&Path, twin::Unlock<'_>) -> T) -> Result<T> {
        let home = self.existing()?;
        if self.keyring {
            let keyring = Keyring::find()?;
            return Ok(work(home, twin::Unlock::KeyStore(&keyring)));
        }
        let password = password::ask()?;
        Ok(work(home, twin::Unlock::Password(&password)))
    }

    /// Unlocks this device by its password.
    pub fn open_by_password(&self) -> Result<Twin> {
        let home = self.existing()?;
        let password = password::ask()?;
        Ok(Twin::open(home, twin::Unlock::Password(&password))?)
    }

    /// A sentence for a person; nothing in JSON.
    pub fn say(&self, text: impl AsRef<str>) {
        if !self.json {
            show(&format!("{}\n", text.as_ref()));
        }
    }

    /// One JSON value on a line of its own; nothing for a person.
    pub fn event(&self, json: Json) {
        if self.json {
            // Programs read line by line.
            show(&format!("{json}\n"));
        }
    }

    /// Asks for a line on standard input.
    pub fn ask(&self, question: &str) -> Result<String> {
        if !self.json {
            show(&format!("{question} "));
        }
        read_line()
    }

    /// Asks for a line on standard input while other things go on. When it is dropped, what is typed next is lost: the
    /// program should end.
    pub async fn ask_meanwhile(&self, question: &str) -> Result<String> {
        if !self.json {
            show(&format!("{question} "));
        }
        let (answer, answered) = oneshot::channel();
        // Not one of the runtime's threads: it would wait for the person before the program may end.
        thread::spawn(move || answer.send(read_line()));
        answered.await.map_err(|_| CliError::NoInput)?
    }

    /// Asks for a secret line: on a terminal what is typed is not shown, else it comes from standard input.
    pub fn ask_unseen(&self, question: &str) -> Result<Zeroizing<String>> {
        if io::stdin().is_terminal() {
            return password::prompt(&format!("{question} "));
        }
        let mut line = Zeroizing::new(String::with_capacity(MAX_SECRET));
        let most = u64::try_from(MAX_SECRET).unwrap_or(u64::MAX);
        if io::stdin().lock().take(most).read_line(&mut line)? == 0 {
            return Err(CliError::NoInput);
        }
        Ok(line)
    }

    /// Asks a question that is answered with y or n.
    pub fn confirm(&self, question: &str) -> Result<bool> {
        let answer = self.ask(&format!("{question} [y/N]"))?;
        Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
    }

    /// Makes sure that the person agrees, who has said so (`yes`) or is asked.
    ///
    /// # Errors
    /// [`CliError::Declined`] if not.
    pub fn agree(&self, yes: bool, question: &str) -> Result<()> {
        if yes || self.confirm(question)? {
            Ok(())
        } else {
            Err(CliError::Declined)
        }
    }

    /// Whether a person sits at a terminal.
    pub fn is_interactive(&self) -> bool {
        !self.json && io::stdin().is_terminal() && io::stdout().is_terminal()
    }
}

fn read_line() -> Result<String> {
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(CliError::NoInput);
    }
    Ok(line.trim().to_owned())
}

/// Prints `text` at once. Where nobody reads it any more (`twin list | head -1`) the program ends quietly; where it
/// cannot be written (a full disk) it ends with a sentence. Neither is a success.
pub fn show(text: &str) {
    let mut output = io::stdout().lock();
    let Err(error) = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    else {
        return;
    };
    if error.kind() != io::ErrorKind::BrokenPipe {
        complain(&format!("the output cannot be written: {error}"));
    }
    std::process::exit(1);
}

/// A table in which every column is as wide as it needs to be.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| width(cell)).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, wide) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', wide - width(cell) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// How many columns of a terminal a text takes: letters of East Asia and pictures take two, marks on others none.
fn width(text: &str) -> usize {
    let of = |c| match c {
        '\u{300}'..='\u{36f}'
        | '\u{200b}'..='\u{200d}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    };
    text.chars().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_in_any_script() {
        let row = |cell: &str| vec![cell.to_owned(), "x".to_owned()];
        let text = table(&[
            row("abcd"),
            row("日本"),
            row("e\u{301}"),
            row("🌳"),
            row("ключ"),
        ]);
        assert_eq!(text, "abcd  x\n日本  x\ne\u{301}     x\n🌳    x\nключ  x\n");
    }
}
