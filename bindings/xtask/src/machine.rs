//! The machine that numbers were measured on.

use std::fs;
use std::thread;

/// Processor, cores, memory and system in one line.
pub fn describe() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let processor =
        field("/proc/cpuinfo", "model name", ':').unwrap_or_else(|| std::env::consts::ARCH.into());
    let memory = field("/proc/meminfo", "MemTotal", ':')
        .and_then(|size| size.strip_suffix(" kB")?.parse::<u64>().ok());
    let memory = memory.map_or_else(
        || "unknown".into(),
        |kib| format!("{} GiB", (kib + (1 << 19)) >> 20),
    );
    let system =
        field("/etc/os-release", "PRETTY_NAME", '=').unwrap_or_else(|| std::env::consts::OS.into());
    format!(
        "{processor}, {cores} cores, {memory} memory, {}",
        system.trim_matches('"')
    )
}

/// The value behind `key` in a file of `key SEPARATOR value` lines.
fn field(file: &str, key: &str, separator: char) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(separator));
    pairs
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().to_owned())
}
