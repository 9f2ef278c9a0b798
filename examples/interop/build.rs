//! Generates the code of `grpc.testing`, without `protoc`.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    let descriptors = protox::compile(["grpc/testing/test.proto"], ["proto"])?;
    fs::write(out.join("testing.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // `UnimplementedCall` stays so.
        .generate_default_stubs(true)
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
