//! Which web pages of other origins may call the server from a browser: what `--cors` gives, and its layer.

use std::str::FromStr;
use std::time::Duration;

use tonic::codegen::http::{HeaderValue, Method, Uri};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};

/// How long a browser may remember the answer to a preflight. Chromium remembers none for longer.
const MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// An origin as browsers send it, such as `https://shop.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const EXAMPLE: &str = "must be a scheme, a host and no path, such as https://shop.example";
        let text = text.to_ascii_lowercase();
        let uri: Uri = text.parse().map_err(|_| EXAMPLE)?;
        let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(EXAMPLE);
        };
        let ends_here = text.ends_with(authority.as_str()) && !authority.as_str().contains('@');
        let value = ends_here.then(|| HeaderValue::try_from(text).ok()).flatten();
        value.map(Self).ok_or(EXAMPLE)
    }
}

/// Answers preflights. Without origins there is no layer: browsers then let pages of the server's own origin call it,
/// and no others.
pub(super) fn layer(origins: Vec<Origin>) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = origins.into_iter().map(|Origin(value)| value);
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST])
        // Metadata have any names. Cookies are never sent: credentials are not allowed.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::any())
        .max_age(MAX_AGE);
    Some(layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for good in ["https://shop.example", "http://localhost:8080", "http://[::1]:80"] {
            let Origin(value) = good.parse().expect(good);
            assert_eq!(value, good);
        }
        assert_eq!("HTTPS://Shop.example".parse(), "https://shop.example".parse::<Origin>());
        for bad in [
            "",
            "*",
            "null",
            "shop.example",
            "ftp://shop.example",
            "https://",
            "https://shop.example/",
            "https://shop.example/page",
            "https://shop.example?page",
            "https://ann@shop.example",
            "https://shop.example,https://other.example",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
