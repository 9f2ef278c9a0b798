//! Instructions of one call, as valgrind counts them.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use super::Error;
use super::protocol::Kind;

/// The difference between two runs is that of this many calls.
const CALLS: [u32; 2] = [16, 80];

/// Why instructions cannot be counted; `None` if they can.
pub(super) fn missing() -> Option<String> {
    let mut version = Command::new("valgrind");
    let found = version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("valgrind does not run: {status}")),
        Err(error) => Some(format!("valgrind does not run: {error}")),
    }
}

/// The instructions of a call of each kind of each of these rows, in their order. Several are counted at the same time,
/// since other programs do not change them.
pub(super) fn count(rows: &[&'static str]) -> Result<Vec<[f64; 2]>, Error> {
    let next = Mutex::new(rows.iter().enumerate());
    let counted = Mutex::new(Vec::new());
    let one = || loop {
        let Some((at, row)) = next.lock().map_err(|error| error.to_string())?.next() else {
            return Ok::<(), Error>(());
        };
        let [unary, stream] = Kind::ALL.map(|call| per_call(row, call));
        let count = (at, [unary?, stream?]);
        counted.lock().map_err(|error| error.to_string())?.push(count);
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        let mut done = vec![one()];
        done.extend(others.into_iter().map(|other| other.join().map_err(|_| "it panicked")?));
        done.into_iter().collect::<Result<Vec<()>, Error>>()
    })?;
    let mut counted = counted.into_inner().map_err(|error| error.to_string())?;
    counted.sort_by_key(|(at, _)| *at);
    Ok(counted.into_iter().map(|(_, counts)| counts).collect())
}

/// The difference between two runs, so that the start of the program does not count.
fn per_call(row: &str, call: Kind) -> Result<f64, Error> {
    let [few, many] = CALLS.map(|calls| of_run(row, call, calls));
    Ok((many? - few?) / f64::from(CALLS[1] - CALLS[0]))
}

fn of_run(row: &str, call: Kind, calls: u32) -> Result<f64, Error> {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["calls", row, call.argument(), &calls.to_string()])
        .stdout(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    total(&text).ok_or_else(|| format!("valgrind counted nothing of `{row}`: {text}").into())
}

/// The number in the line `==1== I   refs:      1,234`.
fn total(output: &str) -> Option<f64> {
    let mut lines = output.lines().filter(|line| line.split_whitespace().nth(1) == Some("I"));
    let (_, count) = lines.find_map(|line| line.split_once("refs:"))?;
    count.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_the_lines_of_valgrind() {
        let output = "==7== Cachegrind, a high-precision tracing profiler\n==7== \n==7== I   refs:      12,345,678\n";
        assert_eq!(total(output), Some(12_345_678.0));
    }

    #[test]
    fn output_without_a_count_has_none() {
        assert_eq!(total("==7== Cachegrind\nI am no count"), None);
    }
}
