//! Generates the code of `connectrpc.conformance.v1`, without `protoc`: for tonic, and for the client of `connectrpc`,
//! which the tests use.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message as _;

const PROTOS: [&str; 2] =
    ["connectrpc/conformance/v1/service.proto", "connectrpc/conformance/v1/server_compat.proto"];

/// The service, and the types of its messages.
const MESSAGES: [&str; 2] =
    ["connectrpc/conformance/v1/service.proto", "connectrpc/conformance/v1/config.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let set = out.join("conformance.bin");
    fs::write(&set, descriptors.encode_to_vec())?;
    connectrpc_build::Config::new()
        .descriptor_set(set)
        .files(&MESSAGES)
        .out_dir(out.join("connectrpc"))
        .include_file("all.rs")
        .emit_rerun_directives(false)
        .compile()?;
    let mut config = tonic_prost_build::Config::new();
    // An `Any` has the name of its message, after the domain that the test runner expects.
    config.enable_type_names().type_name_domain(["."], "type.googleapis.com");
    tonic_prost_build::configure()
        // `Unimplemented` stays so.
        .generate_default_stubs(true)
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
