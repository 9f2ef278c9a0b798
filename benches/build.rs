//! Generates the service of the bench `connect`, for tonic and for `connectrpc`; and names the compiler, for `compare`.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use protox::prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let version =
        Command::new(env::var_os("RUSTC").unwrap_or_default()).arg("--version").output()?;
    println!("cargo::rustc-env=RUSTC_VERSION={}", String::from_utf8(version.stdout)?.trim());
    let set = protox::compile(["shop.proto"], ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let file = out.join("shop.bin");
    fs::write(&file, set.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(set)?;
    connectrpc_build::Config::new()
        .descriptor_set(file)
        .files(&["shop.proto"])
        .out_dir(out.join("connectrpc"))
        .include_file("all.rs")
        .compile()?;
    Ok(())
}
