//! The scope that each method requires.

/// Lets its holder read orders, and get prices.
pub const READ: &str = "orders.read";

/// Lets its holder create orders, and move them to their next stage.
pub const WRITE: &str = "orders.write";

/// The scope that each method requires. A method without a line here is an error when the server starts.
pub(super) const METHOD_SCOPES: [(&str, &str); 7] = [
    ("CreateOrder", WRITE),
    ("GetOrder", READ),
    ("ListOrders", READ),
    ("WatchOrder", READ),
    ("AdvanceOrder", WRITE),
    ("ImportOrders", WRITE),
    ("QuoteOrders", READ),
];

#[cfg(test)]
mod tests {
    use tonic_call::Methods;

    use super::*;

    /// Guards against: a method that is new in the proto, and that nobody thought of here.
    #[test]
    fn every_method_has_its_scope() {
        let methods = Methods::from_descriptor_set(crate::FILE_DESCRIPTOR_SET).expect("good");
        let mut described: Vec<_> = methods.iter().map(tonic_call::Method::name).collect();
        let mut ruled = METHOD_SCOPES.map(|(method, _)| method);
        described.sort_unstable();
        ruled.sort_unstable();
        assert_eq!(described, ruled);
    }
}
