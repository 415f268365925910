//! Counting tests: the summaries that test runners print, added up.

use std::fmt;
use std::ops::AddAssign;

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that ran and held.
    pub passed: u64,
    /// Tests that ran and did not hold.
    pub failed: u64,
    /// Tests that did not run.
    pub skipped: u64,
}

/// How to read a program's output.
#[derive(Clone, Copy, Debug)]
pub enum Count {
    /// It prepares something and tests nothing.
    Nothing,
    /// libtest: `test result: ok. 12 passed; 0 failed; 1 ignored; …`, one line per test binary.
    Cargo,
    /// node:test with the spec or TAP reporter: `ℹ pass 5` or `# pass 5`, one line per count.
    Node,
    /// cargo-deny's last line: `bans ok, licenses FAILED, sources ok`, one test per check.
    Deny,
}

impl Count {
    /// What `line` adds to the tally.
    pub fn read(self, line: &str) -> Tally {
        match self {
            Count::Nothing => Tally::default(),
            Count::Cargo => cargo(line),
            Count::Node => node(line),
            Count::Deny => deny(line),
        }
    }
}

impl Tally {
    /// A single test that failed, where a runner ended before it could say so.
    pub const ONE_FAILED: Tally = Tally {
        passed: 0,
        failed: 1,
        skipped: 0,
    };
    /// A single test that could not run.
    pub const ONE_SKIPPED: Tally = Tally {
        passed: 0,
        failed: 0,
        skipped: 1,
    };

    /// How many tests ran.
    pub fn ran(self) -> u64 {
        self.passed + self.failed
    }

    fn add(&mut self, what: &str, count: u64) {
        match what {
            "passed" | "pass" | "ok" => self.passed += count,
            "failed" | "fail" | "cancelled" | "FAILED" => self.failed += count,
            "ignored" | "skipped" | "todo" => self.skipped += count,
            _ => {}
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

fn cargo(line: &str) -> Tally {
    let mut tally = Tally::default();
    let Some(summary) = line.strip_prefix("test result: ") else {
        return tally;
    };
    for part in summary.split(';') {
        // "ok. 12 passed" in the first part (the word may be coloured), " 0 failed" in the others
        let mut words = part.split_whitespace().rev();
        if let (Some(what), Some(count)) = (
            words.next(),
            words.next().and_then(|word| word.parse().ok()),
        ) {
            tally.add(what, count);
        }
    }
    tally
}

fn node(line: &str) -> Tally {
    let mut tally = Tally::default();
    let plain = uncoloured(line);
    if let [_mark @ ("ℹ" | "#"), what, count] = plain.split_whitespace().collect::<Vec<_>>()[..]
        && let Ok(count) = count.parse()
    {
        tally.add(what, count);
    }
    tally
}

fn deny(line: &str) -> Tally {
    let plain = uncoloured(line);
    let mut tally = Tally::default();
    for part in plain.split(", ") {
        match part.split_whitespace().collect::<Vec<_>>()[..] {
            [
                "advisories" | "bans" | "licenses" | "sources",
                verdict @ ("ok" | "FAILED"),
            ] => tally.add(verdict, 1),
            // not the closing line
            _ => return Tally::default(),
        }
    }
    tally
}

/// `line` without terminal colour codes (`ESC [ … m`).
fn uncoloured(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        plain + part.split_once('m').map_or("", |(_, rest)| rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64, skipped: u64) -> Tally {
        Tally {
            passed,
            failed,
            skipped,
        }
    }

    #[test]
    fn reads_libtest() {
        let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.10s";
        assert_eq!(Count::Cargo.read(line), tally(12, 0, 1));
        let coloured = "test result: \u{1b}[31mFAILED\u{1b}[m. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(Count::Cargo.read(coloured), tally(2, 3, 0));
        assert_eq!(
            Count::Cargo.read("test reads_libtest ... ok"),
            tally(0, 0, 0)
        );
    }

    #[test]
    fn reads_node_in_both_reporters() {
        let mut sum = Tally::default();
        for line in [
            "# tests 9",
            "# pass 5",
            "# fail 1",
            "# cancelled 1",
            "# skipped 1",
            "# todo 1",
        ] {
            sum += Count::Node.read(line);
        }
        assert_eq!(sum, tally(5, 2, 2));
        assert_eq!(
            Count::Node.read("\u{1b}[34mℹ pass 7\u{1b}[39m"),
            tally(7, 0, 0)
        );
        assert_eq!(Count::Node.read("# Subtest: pass 5"), tally(0, 0, 0));
    }

    #[test]
    fn reads_cargo_deny() {
        assert_eq!(
            Count::Deny.read("bans ok, licenses \u{1b}[31mFAILED\u{1b}[0m, sources ok"),
            tally(2, 1, 0)
        );
        assert_eq!(Count::Deny.read("licenses ok"), tally(1, 0, 0));
        assert_eq!(
            Count::Deny.read("error: sources ok, or not"),
            tally(0, 0, 0)
        );
    }

    #[test]
    fn adds_up_and_prints_the_closing_line() {
        let mut sum = tally(1, 0, 2);
        sum += Tally::ONE_FAILED;
        sum += Tally::ONE_SKIPPED;
        assert_eq!(sum.to_string(), "1 passed, 1 failed, 3 skipped");
        assert_eq!(sum.ran(), 2);
    }
}
