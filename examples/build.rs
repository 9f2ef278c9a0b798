//! Generates the code of `orders.v1` and `orders.v2` from their protos, without `protoc`.
//!
//! Also generates `orders.v1` with added methods, for a test.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;

const V1: &str = "orders/v1/orders.proto";
const V2: &str = "orders/v2/orders.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);

    let descriptors = generate(&[V1, V2], Path::new("proto"), &out)?;
    fs::write(out.join("orders.bin"), descriptors)?;

    let grown = out.join("grown");
    fs::create_dir_all(grown.join("orders/v1"))?;
    let proto = fs::read_to_string(Path::new("proto").join(V1))?;
    fs::write(grown.join(V1), with_more_methods(&proto)?)?;
    generate(&[V1], &grown, &grown)?;
    Ok(())
}

/// Writes `package.rs` of each package into `out`, and returns the encoded `FileDescriptorSet`.
fn generate(protos: &[&str], include: &Path, out: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let descriptors = protox::compile(protos, [include])?;
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
