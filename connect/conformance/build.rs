//! Generates the code of `connectrpc.conformance.v1`, without `protoc`.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message as _;

const PROTOS: [&str; 2] =
    ["connectrpc/conformance/v1/service.proto", "connectrpc/conformance/v1/server_compat.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    fs::write(out.join("conformance.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    // An `Any` has the name of its message, after the domain that the test runner expects.
    config.enable_type_names().type_name_domain(["."], "type.googleapis.com");
    tonic_prost_build::configure()
        // `Unimplemented` stays so.
        .generate_default_stubs(true)
        .emit_rerun_if_changed(false)
        .build_client(false)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
