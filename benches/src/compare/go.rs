//! grpc-go with its usual interceptors, beside bare grpc-go, if there is a Go toolchain.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::process::Process;
use super::samples::Samples;

/// The module of the program.
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/grpc-go");

/// A program of grpc-go that answers questions as a worker does.
#[derive(Debug)]
pub(super) struct Go {
    pub(super) name: &'static str,
    pub(super) process: Process,
    pub(super) samples: Samples,
    /// Holds the program, and is removed with this.
    _folder: TempDir,
}

/// The name of the row.
const NAME: &str = "grpc-go, go-grpc-middleware v2, otelgrpc";

/// Builds and starts the program; an error tells why it cannot be measured.
pub(super) fn start() -> Result<Go, String> {
    let version = Command::new("go").arg("version").output();
    version.map_err(|error| format!("there is no Go toolchain in the PATH ({error})"))?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let program = folder.path().join("compare");
    build(&program)?;
    let process =
        Process::start(NAME, &mut Command::new(&program)).map_err(|error| error.to_string())?;
    Ok(Go { name: NAME, process, samples: Samples::default(), _folder: folder })
}

fn build(program: &Path) -> Result<(), String> {
    let mut build = Command::new("go");
    build
        .args(["-C", MODULE, "build", "-buildvcs=false", "-mod=readonly", "-o"])
        .arg(program)
        .arg("./compare");
    let output = build.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "its program does not build: {}",
        text.lines().last().unwrap_or("no output").trim()
    ))
}
