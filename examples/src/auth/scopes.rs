//! The scope that each method requires, the same in every version of the API.

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
    use crate::service::VERSIONS;

    /// Guards against: a method that is new in the proto, and that nobody thought of here.
    #[test]
    fn every_method_has_its_scope() {
        let methods = Methods::from_descriptor_set(crate::FILE_DESCRIPTOR_SET).expect("good");
        let mut ruled = METHOD_SCOPES.map(|(method, _)| method);
        ruled.sort_unstable();
        for service in VERSIONS {
            let of_service = methods.iter().filter(|method| method.service() == service);
            let mut described: Vec<_> = of_service.map(tonic_call::Method::name).collect();
            described.sort_unstable();
            assert_eq!(described, ruled, "{service}");
        }
        assert_eq!(methods.len(), VERSIONS.len() * ruled.len());
    }
}
