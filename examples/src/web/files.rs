//! The files of the page, and the responses with them.

use http_body_util::Full;
use tonic::codegen::Bytes;
use tonic::codegen::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

/// The page loads nothing of other servers, and no other page may contain it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(&str, &str); 5] = [
    // A newer program has other files under the same names.
    ("cache-control", "no-cache"),
    ("content-security-policy", POLICY),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
];

/// One file of the page.
#[derive(Clone, Copy)]
pub(super) struct File {
    media_type: &'static str,
    content: &'static str,
}

impl File {
    /// The file with this path, if the page has it.
    pub(super) fn at(path: &str) -> Option<Self> {
        let (media_type, content) = match path {
            "/" => ("text/html; charset=utf-8", include_str!("../../web/dist/index.html")),
            "/app.js" => ("text/javascript; charset=utf-8", include_str!("../../web/dist/app.js")),
            "/style.css" => ("text/css; charset=utf-8", include_str!("../../web/dist/style.css")),
            _ => return None,
        };
        Some(Self { media_type, content })
    }

    /// The response to a request for it.
    pub(super) fn response(self, method: &Method) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        let headers = response.headers_mut();
        headers.extend(common());
        match *method {
            Method::GET | Method::HEAD => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
                headers.insert(CONTENT_LENGTH, self.content.len().into());
                if method == Method::GET {
                    *response.body_mut() = Full::new(Bytes::from_static(self.content.as_bytes()));
                }
            }
            _ => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            }
        }
        response
    }
}

fn common() -> HeaderMap {
    let pair = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    HEADERS.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use tonic::codegen::Body as _;

    use super::*;

    #[test]
    fn the_page_has_the_files_that_it_refers_to() {
        let page = File::at("/").expect("there");
        for path in ["style.css", "app.js"] {
            assert!(page.content.contains(&format!("\"{path}\"")), "{path}");
            let response = File::at(&format!("/{path}")).expect("there").response(&Method::GET);
            assert_eq!(response.status(), StatusCode::OK);
            let length = response.body().size_hint().exact().expect("known");
            assert_eq!(response.headers()[CONTENT_LENGTH], length.to_string().as_str());
            assert_eq!(response.headers()["content-security-policy"], POLICY);
        }
    }

    #[test]
    fn the_page_has_nothing_of_other_servers() {
        for path in ["/", "/style.css"] {
            let content = File::at(path).expect("there").content;
            assert!(!content.contains("//"), "{path}");
        }
    }

    #[test]
    fn head_has_the_headers_only_and_other_verbs_are_refused() {
        let file = File::at("/app.js").expect("there");
        let head = file.response(&Method::HEAD);
        assert!(head.body().is_end_stream());
        assert_eq!(head.headers()[CONTENT_LENGTH], file.content.len().to_string().as_str());
        let post = file.response(&Method::POST);
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(post.headers()[ALLOW], "GET, HEAD");
    }

    #[test]
    fn other_paths_are_not_of_the_page() {
        for path in [
            "",
            "//",
            "/index.html",
            "/app.js/",
            "/../Cargo.toml",
            "/orders.v1.OrderService/GetOrder",
        ] {
            assert!(File::at(path).is_none(), "{path}");
        }
    }
}
