//! Wrong use gives a readable compile error.
// The messages list the authenticators that exist, so they are compared without `mtls`.
#![cfg(all(feature = "api-keys", feature = "client", feature = "http", not(feature = "mtls")))]

/// The compiler whose messages are stored beside the cases: others have slightly different ones.
const RUSTC: &str = "rustc 1.95.";

#[test]
#[allow(clippy::print_stderr)]
fn wrong_use_is_told_in_words() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = std::process::Command::new(rustc).arg("--version").output().expect("rustc runs");
    if version.stdout.starts_with(RUSTC.as_bytes()) {
        trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
    } else {
        eprintln!("not compared: the messages were stored with {RUSTC}*");
    }
}
