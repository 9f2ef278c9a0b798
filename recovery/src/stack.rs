//! A stack as far as it helps: the frames of the program that panicked.

use std::backtrace::Backtrace;
use std::env;
use std::fmt::{self, Write};

use tonic_call::{MAX_LINES_BYTES, sanitize_lines};

use crate::frame::{Whose, whose};

/// How long a line of it is, at most: names of generic types have no end.
const LINE_AT_MOST: usize = 512;

/// What stands for the rest.
const REST: &str = "…";

/// Which frames are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frames {
    None,
    OfTheProgram,
    All,
}

impl Frames {
    /// What the environment asks for, by the rules of `std::backtrace`: `RUST_LIB_BACKTRACE`, or if that is not
    /// set `RUST_BACKTRACE`. `0` means none and `full` all. If neither is set, the program still gets its own
    /// frames, since it has called `capture_panics`.
    pub(crate) fn wanted() -> Self {
        let value = env::var_os("RUST_LIB_BACKTRACE").or_else(|| env::var_os("RUST_BACKTRACE"));
        match value {
            Some(value) if value == "0" => Self::None,
            Some(value) if value == "full" => Self::All,
            _ => Self::OfTheProgram,
        }
    }

    /// The text of a stack, in lines as the standard library writes them, and bounded. Empty if there is nothing
    /// to see.
    pub(crate) fn of(self, stack: &Backtrace) -> String {
        match self {
            Self::None => String::new(),
            Self::All => sanitize_lines(stack),
            Self::OfTheProgram => {
                let mut lines = Lines::default();
                // An error says that it is full.
                let full = write!(lines, "{stack}").is_err();
                lines.finish(full)
            }
        }
    }
}

/// Takes the lines of a stack as they are written, and keeps those that help.
#[derive(Default)]
struct Lines {
    /// The line that is being written, and whether it would be longer.
    line: String,
    is_cut: bool,
    /// Frames of the program.
    own: String,
    /// Those of the crates below: all there is to see where a panic never was in the program.
    below: String,
    /// The first line of the frame that is being written. Whose it is, its second line may have to tell.
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
                if self.line.len() + char.len_utf8() > LINE_AT_MOST {
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
        let place = line.trim_start().strip_prefix("at ");
        let frame =
            if place.is_some() { self.frame.take() } else { self.frame.replace(line.clone()) };
        match frame {
            Some(frame) => self.keep(&frame, place.map(|place| (&*line, place))),
            None => Ok(()),
        }
    }

    /// Keeps a frame, if it helps: its first line, and if there is one, its second with the place in it.
    fn keep(&mut self, frame: &str, place: Option<(&str, &str)>) -> fmt::Result {
        let lines = match whose(symbol_in(frame), place.map(|(_, place)| place)) {
            Whose::Program => &mut self.own,
            Whose::Below if self.below.len() < MAX_LINES_BYTES => &mut self.below,
            _ => return Ok(()),
        };
        for line in [Some(frame), place.map(|(line, _)| line)].into_iter().flatten() {
            lines.push_str(line);
            lines.push('\n');
        }
        if self.own.len() > MAX_LINES_BYTES { Err(fmt::Error) } else { Ok(()) }
    }

    fn finish(mut self, full: bool) -> String {
        if !full {
            if !self.line.is_empty() {
                // The last line may have no end. It is never too much.
                let _ = self.take_line();
            }
            if let Some(frame) = self.frame.take() {
                let _ = self.keep(&frame, None);
            }
        }
        let lines = if self.own.is_empty() { self.below } else { self.own };
        sanitize_lines(lines.trim_end_matches('\n'))
    }
}

/// The symbol in the first line of a frame: `   7: name`, or without a number if it was inlined.
fn symbol_in(line: &str) -> &str {
    let line = line.trim_start();
    let number = line.bytes().take_while(u8::is_ascii_digit).count();
    line[number..].strip_prefix(": ").filter(|_| number > 0).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as the standard library writes them.
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
        // In pieces, as it is written.
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
        assert_eq!(shown("what nobody expects"), "what nobody expects");
    }

    #[test]
    fn a_stack_is_bounded_however_deep_it_is_and_however_long_its_names_are() {
        let deep: String = (0..100_000).map(|n| format!("{n:4}: orders::deep\n")).collect();
        let wide = format!("   0: orders::Wide<{}>\n   1: orders::narrow\n", "T".repeat(100_000));
        assert!(shown(&deep).len() <= MAX_LINES_BYTES && shown(&deep).ends_with(REST));
        assert!(shown(&deep).starts_with("   0: orders::deep\n   1: orders::deep\n"));
        let wide = shown(&wide);
        assert!(wide.len() < 2 * LINE_AT_MOST && wide.ends_with("1: orders::narrow"), "{wide}");
    }
}
