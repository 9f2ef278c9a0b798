//! What happens to calls at a steady rate when one of four servers is killed, drained, or not heard of any more, with
//! this balancer and with others.
//!
//! ```sh
//! go -C benches/grpc-go build -o /tmp/grpc-go .  # without it, there is no comparison with grpc-go
//! GRPC_GO=/tmp/grpc-go cargo bench -p tonic-layers-benches --bench faults
//! ```
//!
//! With names of faults as arguments, such as `-- kill drain`, it makes only these; with `--quick`, each only once.
#![allow(clippy::print_stdout)]

mod calls;
mod client;
mod fault;
mod network;
mod server;

use tokio::runtime::Builder;

use self::calls::Damage;
use self::client::Client;
use self::fault::Fault;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if has(server::SERVE) {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(server::serve());
    }
    let is_asked_for = |fault: &Fault| {
        let mut names = arguments.iter().filter(|argument| !argument.starts_with("--")).peekable();
        names.peek().is_none() || names.any(|name| name == fault.name())
    };
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for fault in Fault::ALL.into_iter().filter(is_asked_for) {
        println!("\n{:<30}{}", fault.name(), Damage::titles());
        for client in Client::available() {
            let mut damage = Damage::default();
            for _ in 0..if has("--quick") { 1 } else { fault.runs() } {
                runtime.block_on(fault.run(client, &mut damage));
            }
            println!("{:<30}{}", client.name(), damage.line());
        }
    }
}
