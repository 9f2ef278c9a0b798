//! Lines in a file: what is there stays there, and a write that fails harms no other.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tonic::Status;
use tonic_call_test_kit::{answers, run, stream, to};
use tonic_logging_layer::{Lines, LogFile, LoggingLayer};
use tower::Layer as _;

use crate::lines_common::without_timestamp;

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
