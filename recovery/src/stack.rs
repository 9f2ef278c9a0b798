//! The relevant part of a stack: the frames of the program that panicked.

use std::backtrace::Backtrace;
use std::env;
use std::fmt::{self, Write};

use tonic_call::{MAX_LINES_BYTES, sanitize_lines};

use crate::frame::{Owner, owner_of};

/// The maximum length of a line in bytes. Names of generic types can be of any length.
const MAX_LINE_BYTES: usize = 512;

/// Replaces the part that was cut off.
const REST: &str = "…";

/// Which frames to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frames {
    None,
    Program,
    All,
}

impl Frames {
    /// Reads the environment by the rules of `std::backtrace`: `RUST_LIB_BACKTRACE`, or `RUST_BACKTRACE` if
    /// that is not set. `0` means none, and `full` all. If neither is set, the program's own frames are still
    /// shown, because the program has called `capture_panics`.
    pub(crate) fn from_env() -> Self {
        let value = env::var_os("RUST_LIB_BACKTRACE").or_else(|| env::var_os("RUST_BACKTRACE"));
        match value {
            Some(value) if value == "0" => Self::None,
            Some(value) if value == "full" => Self::All,
            _ => Self::Program,
        }
    }

    /// The text of a stack, in the standard library's line format, and bounded. Empty if there is nothing to
    /// show.
    pub(crate) fn text(self, stack: &Backtrace) -> String {
        match self {
            Self::None => String::new(),
            Self::All => sanitize_lines(stack),
            Self::Program => {
                let mut lines = Lines::default();
                // An error means that the limit was reached.
                let full = write!(lines, "{stack}").is_err();
                lines.finish(full)
            }
        }
    }
}

/// Collects the lines of a stack as they are written, and keeps the relevant ones.
#[derive(Default)]
struct Lines {
    /// The line being written, and whether it was cut.
    line: String,
    is_cut: bool,
    /// Frames of the program.
    own: String,
    /// Frames of the runtime's crates, shown if there are none of the program.
    runtime: String,
    /// The first line of the frame being written. Its second line may be needed to classify it.
    frame: Option<String>,
}

impl Write for Lines {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive('\n') {
            let (part, is_whole) = match part.strip_suffix('\n') {
                Some(part) => (part, true),
                None => (part, false),
            };
            for char in part.chars() {
                if self.line.len() + char.len_utf8() > MAX_LINE_BYTES {
                    self.is_cut = true;
                    break;
                }
                self.line.push(char);
            }
            if is_whole {
                self.take_line()?;
            }
        }
        Ok(())
    }
}

impl Lines {
    fn take_line(&mut self) -> fmt::Result {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.is_cut) {
            line.push_str(REST);
        }
        let location = line.trim_start().strip_prefix("at ");
        let frame =
            if location.is_some() { self.frame.take() } else { self.frame.replace(line.clone()) };
        match frame {
            Some(frame) => self.keep(&frame, location.map(|location| (&*line, location))),
            None => Ok(()),
        }
    }

    /// Keeps a frame if it is relevant: its first line, and its second line with the source location, if there
    /// is one.
    fn keep(&mut self, frame: &str, location: Option<(&str, &str)>) -> fmt::Result {
        let lines = match owner_of(symbol_in(frame), location.map(|(_, location)| location)) {
            Owner::Program => &mut self.own,
            Owner::Runtime if self.runtime.len() < MAX_LINES_BYTES => &mut self.runtime,
            _ => return Ok(()),
        };
        for line in [Some(frame), location.map(|(line, _)| line)].into_iter().flatten() {
            lines.push_str(line);
            lines.push('\n');
        }
        if self.own.len() > MAX_LINES_BYTES { Err(fmt::Error) } else { Ok(()) }
    }

    fn finish(mut self, full: bool) -> String {
        if !full {
            if !self.line.is_empty() {
                // The last line may lack a line feed. Reaching the limit here changes nothing.
                let _ = self.take_line();
            }
            if let Some(frame) = self.frame.take() {
                let _ = self.keep(&frame, None);
            }
        }
        let lines = if self.own.is_empty() { self.runtime } else { self.own };
        sanitize_lines(lines.trim_end_matches('\n'))
    }
}

/// The symbol in the first line of a frame: `   7: name`, or only `name` if the function was inlined.
fn symbol_in(line: &str) -> &str {
    let line = line.trim_start();
    let number = line.bytes().take_while(u8::is_ascii_digit).count();
    line[number..].strip_prefix(": ").filter(|_| number > 0).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines in the standard library's format.
    const STACK: &str = "   0: tonic_recovery_layer::capture::capture_panics::{{closure}}
             at /home/ann/.cargo/registry/src/index-0/tonic-recovery-layer-0.1.0/src/capture.rs:1:1
   1: std::panicking::panic_with_hook
   2: __rustc::rust_begin_unwind
   3: core::panicking::panic_fmt
             at /rustc/0/library/core/src/panicking.rs:80:14
   4: orders::stock::take
             at /home/ann/orders/src/stock.rs:7:9
      orders::service::create::{{closure}}
             at /home/ann/orders/src/service/create.rs:12:5
   5: <core::pin::Pin<P> as core::future::future::Future>::poll
   6: {closure#0}<orders::Orders>
             at /home/ann/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/tonic-0.14.9/src/server/grpc.rs:1:1
      {async_block#0}
             at /home/ann/orders/src/service/mod.rs:3:1
   7: sqlite3_step
   8: <unknown>
   9: start_thread
  10: clone3
";

    fn shown(stack: &str) -> String {
        let mut lines = Lines::default();
        // In pieces, as the standard library writes.
        let full = stack
            .as_bytes()
            .chunks(7)
            .any(|piece| lines.write_str(std::str::from_utf8(piece).expect("ASCII")).is_err());
        lines.finish(full)
    }

    #[test]
    fn only_frames_of_the_program_are_shown() {
        let own = "   4: orders::stock::take
             at /home/ann/orders/src/stock.rs:7:9
      orders::service::create::{{closure}}
             at /home/ann/orders/src/service/create.rs:12:5
      {async_block#0}
             at /home/ann/orders/src/service/mod.rs:3:1
   7: sqlite3_step";
        assert_eq!(shown(STACK), own);
        let lines: Vec<_> = STACK.lines().collect();
        let below = lines[10..13].join("\n");
        assert_eq!(shown(&[&lines[..6], &lines[10..13]].concat().join("\n")), below);
        assert_eq!(shown(""), "");
        assert_eq!(shown("an unexpected format"), "an unexpected format");
    }

    #[test]
    fn a_stack_of_any_depth_with_names_of_any_length_is_bounded() {
        let deep: String = (0..100_000).map(|n| format!("{n:4}: orders::deep\n")).collect();
        let wide = format!("   0: orders::Wide<{}>\n   1: orders::narrow\n", "T".repeat(100_000));
        assert!(shown(&deep).len() <= MAX_LINES_BYTES && shown(&deep).ends_with(REST));
        assert!(shown(&deep).starts_with("   0: orders::deep\n   1: orders::deep\n"));
        let wide = shown(&wide);
        assert!(wide.len() < 2 * MAX_LINE_BYTES && wide.ends_with("1: orders::narrow"), "{wide}");
    }
}
