//! One opening, in a process that has done nothing else.

use std::path::Path;
use std::time::Instant;

use twin::{Twin, Unlock};

use super::Failure;
use super::made::{COLLECTION, KeptHere, SPACE, id};

/// What it took; of the processor and of memory only Linux tells, and elsewhere they are 0.
pub struct Opened {
    pub open_ms: f64,
    pub read_ms: f64,
    /// How much of both the processor has worked: on a machine that is busy with other things, all that tells.
    pub cpu_ms: f64,
    /// Megabytes of memory that are resident afterwards, above what was before; and the most that ever were.
    pub rss_mb: f64,
    pub peak_mb: f64,
}

const NAMES: [&str; 5] = ["open_ms", "read_ms", "cpu_ms", "rss_mb", "peak_mb"];

impl Opened {
    pub fn to_json(&self) -> serde_json::Value {
        let numbers = [
            self.open_ms,
            self.read_ms,
            self.cpu_ms,
            self.rss_mb,
            self.peak_mb,
        ];
        let named = NAMES.into_iter().map(str::to_owned);
        named.zip(numbers.map(serde_json::Value::from)).collect()
    }

    pub fn from_json(bytes: &[u8]) -> Result<Self, Failure> {
        let json: serde_json::Value = serde_json::from_slice(bytes)?;
        let [open_ms, read_ms, cpu_ms, rss_mb, peak_mb] =
            NAMES.map(|name| json[name].as_f64().ok_or("a number is missing"));
        Ok(Self {
            open_ms: open_ms?,
            read_ms: read_ms?,
            cpu_ms: cpu_ms?,
            rss_mb: rss_mb?,
            peak_mb: peak_mb?,
        })
    }
}

/// Opens the vault and reads the record with this number.
pub fn open(dir: &Path, number: u64) -> Result<Opened, Failure> {
    let (empty, idle) = (memory("VmRSS")?, worked()?);
    let begun = Instant::now();
    let twin = Twin::open(dir, Unlock::KeyStore(&KeptHere))?;
    let opened = begun.elapsed();
    let record = twin.space(SPACE)?.collection(COLLECTION).get(&id(number))?;
    let read = begun.elapsed();
    if record.is_none_or(|record| record.fields.0.len() != 4) {
        return Err("a record is not what was written".into());
    }
    Ok(Opened {
        open_ms: opened.as_secs_f64() * 1e3,
        read_ms: (read - opened).as_secs_f64() * 1e3,
        cpu_ms: worked()? - idle,
        rss_mb: memory("VmRSS")? - empty,
        peak_mb: memory("VmHWM")? - empty,
    })
}

/// Megabytes of this process's memory.
fn memory(what: &str) -> Result<f64, Failure> {
    if !cfg!(target_os = "linux") {
        return Ok(0.0);
    }
    // VmRSS:	    5120 kB
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(what));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.ok_or("the kernel does not say")?.parse::<f64>()? * 1024.0 / 1e6)
}

/// Milliseconds that the processor has worked for this thread.
fn worked() -> Result<f64, Failure> {
    if !cfg!(target_os = "linux") {
        return Ok(0.0);
    }
    // Nanoseconds worked, nanoseconds waited, turns.
    let turns = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let worked = turns.split_whitespace().next();
    Ok(worked.ok_or("the kernel does not say")?.parse::<f64>()? / 1e6)
}
