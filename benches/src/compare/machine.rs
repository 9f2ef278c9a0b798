use std::fs;
use std::thread::available_parallelism;

use serde::Serialize;

/// The machine that was measured. It is not named.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    cores: usize,
    processor: String,
    memory_gib: u64,
    kernel: String,
    rustc: &'static str,
    optimized: bool,
    /// The number of threads that ran or waited for a core, on average over the minute before the start.
    load: String,
}

impl Machine {
    pub(super) fn here() -> Self {
        let kib = field("/proc/meminfo", "MemTotal").unwrap_or_default();
        let kib = kib.trim_end_matches(" kB").parse::<u64>().unwrap_or_default();
        let read = |path| fs::read_to_string(path).ok();
        let first = |text: String| text.split_whitespace().next().map(str::to_owned);
        let unknown = || "unknown".to_owned();
        Self {
            cores: available_parallelism().map_or(1, usize::from),
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            memory_gib: (kib + (1 << 19)) >> 20,
            kernel: read("/proc/sys/kernel/osrelease").and_then(first).unwrap_or_else(unknown),
            rustc: env!("RUSTC_VERSION"),
            optimized: !cfg!(debug_assertions),
            load: read("/proc/loadavg").and_then(first).unwrap_or_else(unknown),
        }
    }

    /// A sentence for readers.
    pub(super) fn sentence(&self) -> String {
        let build = if self.optimized { "" } else { ", **not optimized**" };
        format!(
            "{} cores ({}), {} GiB of memory, Linux {}, {}{build}; load {} at the start.",
            self.cores, self.processor, self.memory_gib, self.kernel, self.rustc, self.load,
        )
    }
}

/// The value of the first line `name : value` of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}
