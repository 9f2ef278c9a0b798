//! Makes the code for `orders.v1` out of its proto, without a `protoc`.
//!
//! Two more sets are made for the tests only: `orders.v1` as it will be once a method has been added, and
//! an `orders.v2` that stands beside it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;

const PROTO: &str = "orders/v1/orders.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=tests/proto");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);

    let descriptors = generate(PROTO, Path::new("proto"), &out)?;
    fs::write(out.join("orders.bin"), descriptors)?;

    let grown = out.join("grown");
    fs::create_dir_all(grown.join("orders/v1"))?;
    let proto = fs::read_to_string(Path::new("proto").join(PROTO))?;
    fs::write(grown.join(PROTO), with_more_methods(&proto)?)?;
    generate(PROTO, &grown, &grown)?;

    generate("orders/v2/orders.proto", Path::new("tests/proto"), &out)?;
    Ok(())
}

/// Writes `package.rs` into `out` and gives the encoded `FileDescriptorSet`.
fn generate(proto: &str, include: &Path, out: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let descriptors = protox::compile([proto], [include])?;
    let encoded = descriptors.encode_to_vec();
    let mut config = tonic_prost_build::Config::new();
    // JSON finds a message's description by its name.
    config.enable_type_names();
    tonic_prost_build::configure()
        // A method that is new in the proto answers UNIMPLEMENTED until somebody writes it.
        .generate_default_stubs(true)
        .emit_rerun_if_changed(false)
        .out_dir(out)
        .compile_fds_with_config(descriptors, config)?;
    Ok(encoded)
}

/// The proto as a later release might have it: one more method of each kind that a server streams or not.
fn with_more_methods(proto: &str) -> Result<String, Box<dyn Error>> {
    const SERVICE: &str = "service OrderService {\n";
    if !proto.contains(SERVICE) {
        return Err("the proto has no `service OrderService {` line".into());
    }
    let grown = format!(
        "{SERVICE}  rpc CancelOrder(GetOrderRequest) returns (Order);\n  \
         rpc TrackOrders(stream GetOrderRequest) returns (stream OrderEvent);\n"
    );
    Ok(proto.replacen(SERVICE, &grown, 1))
}
