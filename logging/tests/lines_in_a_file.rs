//! A log file is opened again after it was rotated, and a full disk tears at most one line.
#![cfg(all(feature = "json", unix))]
#![allow(clippy::unwrap_used)]

mod lines_common;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lines_common::without_timestamp;
use tonic::Status;
use tonic_call_test_kit::{answers, run, stream, to};
use tonic_logging_layer::{Lines, LogFile, LoggingLayer};
use tower::Layer as _;

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

#[tokio::test]
async fn each_call_is_a_line_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let file = LogFile::append(&path).unwrap();
    let layer = LoggingLayer::server().lines(file.clone());
    for _ in 0..3 {
        let answer = || Ok(stream(1, &Status::ok("")));
        run(layer.layer(answers(answer)), to("/test.v1.Kinds/Unary")).await;
    }
    let text = read(&path);
    assert_eq!(text.lines().count(), 3);
    text.split_inclusive('\n').for_each(|line| _ = without_timestamp(line));
    assert_eq!((file.dropped(), file.errors()), (0, 0));
}

#[test]
fn what_is_in_the_file_stays_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    fs::write(&path, "first\n").unwrap();
    let mut file = LogFile::append(&path).unwrap();
    file.write_all(b"second\n").unwrap();
    assert_eq!(read(&path), "first\nsecond\n");
}

#[test]
fn a_line_that_a_crash_has_torn_stays_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    fs::write(&path, "first\ntor").unwrap();
    let mut file = LogFile::append(&path).unwrap();
    file.write_all(b"second\n").unwrap();
    assert_eq!(read(&path), "first\ntor\nsecond\n");
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
fn a_file_without_a_directory_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let error = LogFile::append(directory.path().join("no/access.log")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn lines_for_a_full_disk_are_counted() {
    let file = LogFile::append("/dev/full").unwrap();
    let lines = Lines::new(file.clone());
    let layer = LoggingLayer::server().lines(lines.clone());
    for _ in 0..3 {
        let answer = || Ok(stream(1, &Status::ok("")));
        let head = run(layer.layer(answers(answer)), to("/test.v1.Kinds/Unary")).await;
        assert!(head.is_some());
    }
    assert_eq!((lines.dropped(), file.dropped(), file.errors()), (3, 3, 3));
}

#[test]
fn a_clock_that_panics_harms_only_its_own_write() {
    tonic_call_test_kit::silence_panics();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let panics = Arc::new(Mutex::new(false));
    let is_on = Arc::clone(&panics);
    let file = LogFile::with_clock(&path, move || {
        let is_on = *is_on.lock().unwrap();
        assert!(!is_on, "a clock, on purpose");
        Instant::now()
    })
    .unwrap();
    *panics.lock().unwrap() = true;
    let mut of_thread = file.clone();
    let thread = std::thread::spawn(move || of_thread.write_all(b"1\n"));
    assert!(thread.join().is_err());
    *panics.lock().unwrap() = false;
    (&file).write_all(b"2\n").unwrap();
    assert_eq!(read(&path), "2\n");
}
