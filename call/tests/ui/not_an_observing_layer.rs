use tonic_call::observe;
use tower::layer::util::Identity;

struct Counter;

fn main() {
    let _ = observe![Identity::new(), None::<Counter>];
}
