//! A log file is opened again after it was rotated, and no line is lost.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tonic_logging_layer::LogFile;

/// A clock that is moved by hand.
#[derive(Clone)]
struct Clock(Arc<Mutex<Instant>>);

impl Clock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    fn open(&self, path: &Path) -> LogFile {
        let clock = self.clone();
        LogFile::with_clock(path, move || *clock.0.lock().unwrap()).unwrap()
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_file_that_was_moved_away_is_opened_again_within_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let [path, moved] = ["access.log", "access.log.1"].map(|name| directory.path().join(name));
    let clock = Clock::new();
    let mut file = clock.open(&path);
    file.write_all(b"1\n").unwrap();
    fs::rename(&path, &moved).unwrap();
    clock.advance(SECOND - Duration::from_nanos(1));
    file.write_all(b"2\n").unwrap();
    assert!(!path.exists(), "not checked yet");
    clock.advance(Duration::from_nanos(1));
    file.write_all(b"3\n").unwrap();
    assert_eq!((read(&moved), read(&path)), ("1\n2\n".to_owned(), "3\n".to_owned()));

    // With `create`, logrotate makes the new file itself.
    fs::rename(&path, &moved).unwrap();
    fs::write(&path, "").unwrap();
    clock.advance(SECOND);
    file.write_all(b"4\n").unwrap();
    assert_eq!((read(&moved), read(&path)), ("3\n".to_owned(), "4\n".to_owned()));

    // With `copytruncate` it stays the same file.
    fs::copy(&path, &moved).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    clock.advance(SECOND);
    file.write_all(b"5\n").unwrap();
    assert_eq!((read(&moved), read(&path)), ("4\n".to_owned(), "5\n".to_owned()));
    assert_eq!(file.errors(), 0);
}

#[test]
fn a_deleted_file_is_created_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let clock = Clock::new();
    let mut file = clock.open(&path);
    fs::remove_file(&path).unwrap();
    clock.advance(SECOND);
    file.write_all(b"1\n").unwrap();
    assert_eq!(read(&path), "1\n");
}

#[test]
fn a_method_opens_the_file_again_without_delay() {
    let directory = tempfile::tempdir().unwrap();
    let [path, moved] = ["access.log", "access.log.1"].map(|name| directory.path().join(name));
    let clock = Clock::new();
    let mut file = clock.open(&path);
    let of_signal_handler = file.clone();
    file.write_all(b"1\n").unwrap();
    fs::rename(&path, &moved).unwrap();
    of_signal_handler.reopen();
    file.write_all(b"2\n").unwrap();
    file.write_all(b"3\n").unwrap();
    assert_eq!((read(&moved), read(&path)), ("1\n".to_owned(), "2\n3\n".to_owned()));
}

#[test]
fn a_file_that_cannot_be_opened_again_keeps_its_lines_and_is_tried_once_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let [logs, moved] = ["logs", "logs.1"].map(|name| directory.path().join(name));
    fs::create_dir(&logs).unwrap();
    let clock = Clock::new();
    let mut file = clock.open(&logs.join("access.log"));
    fs::rename(&logs, &moved).unwrap();
    clock.advance(SECOND);
    for line in ["1\n", "2\n", "3\n"] {
        file.write_all(line.as_bytes()).unwrap();
    }
    assert_eq!((file.errors(), file.dropped()), (1, 0));
    file.reopen();
    file.write_all(b"4\n").unwrap();
    assert_eq!((file.errors(), file.dropped()), (2, 0));
    assert_eq!(read(&moved.join("access.log")), "1\n2\n3\n4\n");

    fs::create_dir(&logs).unwrap();
    file.write_all(b"5\n").unwrap();
    clock.advance(SECOND);
    file.write_all(b"6\n").unwrap();
    assert_eq!(read(&moved.join("access.log")), "1\n2\n3\n4\n5\n");
    assert_eq!(read(&logs.join("access.log")), "6\n");
    assert_eq!((file.errors(), file.dropped()), (2, 0));
}

#[test]
fn lines_of_several_threads_are_whole_while_the_file_is_rotated() {
    const LINES: usize = 500;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let file = LogFile::append(&path).unwrap();
    let threads = ["a", "b", "c"].map(|letter| {
        let mut file = file.clone();
        let line = letter.repeat(600) + "\n";
        std::thread::spawn(move || {
            for _ in 0..LINES {
                file.write_all(line.as_bytes()).unwrap();
            }
        })
    });
    let mut files = 0;
    while threads.iter().any(|thread| !thread.is_finished()) {
        if path.exists() {
            fs::rename(&path, directory.path().join(format!("access.log.{files}"))).unwrap();
            files += 1;
        }
        file.reopen();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    let mut counts = [0; 3];
    for entry in fs::read_dir(directory.path()).unwrap() {
        for line in read(&entry.unwrap().path()).lines() {
            let letter = line.as_bytes()[0];
            assert!(line.len() == 600 && line.bytes().all(|byte| byte == letter), "{line}");
            counts[usize::from(letter - b'a')] += 1;
        }
    }
    assert_eq!((counts, file.errors()), ([LINES; 3], 0));
}
