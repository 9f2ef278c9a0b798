use tonic_call::ObserveLayer;

struct Counter;

fn main() {
    let _ = ObserveLayer::server(Counter);
}
