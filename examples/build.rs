//! Generates the code of `orders.v1` from its proto, without `protoc`.
//!
//! Also generates two more packages for tests: `orders.v1` with added methods, and an `orders.v2`.

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

/// Writes `package.rs` into `out`, and returns the encoded `FileDescriptorSet`.
fn generate(proto: &str, include: &Path, out: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let descriptors = protox::compile([proto], [include])?;
    let encoded = descriptors.encode_to_vec();
    let mut config = tonic_prost_build::Config::new();
    // JSON needs the name of a message to find its descriptor.
    config.enable_type_names();
    tonic_prost_build::configure()
        // A method that is added to the proto responds UNIMPLEMENTED until it is implemented.
        .generate_default_stubs(true)
        .emit_rerun_if_changed(false)
        .out_dir(out)
        .compile_fds_with_config(descriptors, config)?;
    Ok(encoded)
}

/// The proto with two more methods, with and without a response stream, as a later release might have.
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
