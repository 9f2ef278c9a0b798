use tonic_auth_layer::{AuthLayer, Jwt};

fn main() {
    let _ = AuthLayer::new(Jwt::discover("https://id.example").audience("orders"));
}
