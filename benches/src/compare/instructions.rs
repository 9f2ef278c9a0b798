//! Instructions of one call, as valgrind counts them.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use super::Error;
use super::protocol::Kind;
use super::worker::COUNTED;

/// The number of calls that are counted.
const CALLS: u32 = 64;

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

/// Counts nothing but the calls: what a program does at its start depends on the time that it takes.
fn per_call(row: &str, call: Kind) -> Result<f64, Error> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=*{COUNTED}*"))
        .arg(std::env::current_exe()?)
        .args(["calls", row, call.argument(), &CALLS.to_string()])
        .stdout(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let total = total(&text).filter(|total| *total > 0.0);
    let last = text.lines().last().unwrap_or_default();
    let total = total.ok_or_else(|| format!("valgrind counted nothing of `{row}`: {last}"))?;
    Ok(total / f64::from(CALLS))
}

/// The number in the line `==1== Collected : 1234`.
fn total(output: &str) -> Option<f64> {
    let (_, count) = output.lines().find_map(|line| line.split_once("Collected :"))?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_the_lines_of_valgrind() {
        let output = "==7== Events    : Ir\n==7== Collected : 12345678\n==7== \n";
        assert_eq!(total(output), Some(12_345_678.0));
    }

    #[test]
    fn output_without_a_count_has_none() {
        assert_eq!(total("==7== Callgrind\n==7== Collected : nothing"), None);
    }
}
