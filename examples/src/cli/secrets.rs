//! Keeps secrets out of the log and of error messages.

/// Replaces the user and password and the query of a URL, which can be secrets.
pub(super) fn without_secrets(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority);
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => authority.to_owned(),
    };
    let path = match path.find(['?', '#']) {
        Some(at) => format!("{}?…", &path[..at]),
        None => path.to_owned(),
    };
    format!("{scheme}://{authority}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_can_be_secret() {
        for (value, shown) in [
            ("orders.db", "orders.db"),
            ("http://127.0.0.1:4317", "http://127.0.0.1:4317"),
            ("https://user:pass@host:1/keys?token=x#y", "https://…@host:1/keys?…"),
            ("https://a@b@host/keys", "https://…@host/keys"),
            ("https://host?key=secret", "https://host?…"),
            ("spiffe://prod.example/billing/*", "spiffe://prod.example/billing/*"),
        ] {
            assert_eq!(without_secrets(value), shown);
        }
    }
}
