//! The grammar against headers as proxies write them, and against a second parser.

use proptest::prelude::*;

use super::*;

const HASH: &str = "468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688";

fn last(header: &str) -> (Option<u8>, Vec<String>, Vec<String>) {
    let element = Element::last(header).expect(header);
    (element.hash.map(|hash| hash[0]), element.uris, element.dns)
}

fn uri(header: &str) -> String {
    last(header).1.join(" ")
}

#[test]
fn the_examples_of_envoys_documentation_are_read() {
    let one = format!(
        "By=http://frontend.lyft.com;Hash={HASH};Subject=\"/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client\";\
         URI=http://testclient.lyft.com"
    );
    assert_eq!(uri(&one), "http://testclient.lyft.com");
    let two = format!(
        "By=http://frontend.lyft.com;Hash={HASH};URI=http://testclient.lyft.com,By=http://backend.lyft.com;Hash={HASH};\
         Subject=\"/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client\";URI=http://frontend.lyft.com;DNS=lyft.com;\
         DNS=www.lyft.com"
    );
    let dns = vec!["lyft.com".to_owned(), "www.lyft.com".to_owned()];
    assert_eq!(last(&two), (Some(0x46), vec!["http://frontend.lyft.com".to_owned()], dns));
}

#[test]
fn a_sidecar_of_istio_is_read() {
    let header = format!(
        "By=spiffe://cluster.local/ns/b/sa/b;Hash={HASH};Subject=\"\";URI=spiffe://cluster.local/ns/a/sa/a"
    );
    assert_eq!(uri(&header), "spiffe://cluster.local/ns/a/sa/a");
}

#[test]
fn only_the_last_element_counts() {
    assert_eq!(uri("URI=spiffe://a/forged,By=b"), "");
    assert_eq!(uri("URI=spiffe://a/forged,URI=spiffe://a/real"), "spiffe://a/real");
    assert_eq!(uri("Hash=,URI=x".replace("Hash=", "By=").as_str()), "x");
}

#[test]
fn keys_have_any_case_and_quotes_hide_separators() {
    assert_eq!(uri("uRi=a;SUBJECT=\"CN=x,O=y;URI=z\""), "a");
    assert_eq!(uri("Subject=\"a \\\",URI=forged;\\\" b\";URI=\"a,b;c=d\""), "a,b;c=d");
    assert_eq!(uri(" By =x ; URI =\"y\" , URI=z "), "z".to_owned());
}

#[test]
fn what_is_malformed_anywhere_is_refused() {
    for header in [
        "",
        ",",
        "URI",
        "URI=a,",
        "URI=a;",
        "=a",
        "U RI=a",
        "URI=\"a",
        "URI=a\"b\"",
        "URI=\"a\"b",
        "URI=\"a\"\"b\"",
        "URI=\"a\\\"",
        "Hash=00",
        "Hash=zz8ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688",
        "Hash=+68ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688",
        // Readers differ in where the value ends.
        "Subject=\"a\\\\\";URI=b",
        "broken,URI=a",
    ] {
        assert!(Element::last(header).is_err(), "{header}");
    }
    let twice = format!("Hash={HASH};hash={HASH}");
    assert!(Element::last(&twice).is_err());
}

#[test]
fn several_uris_name_nobody() {
    let names = |header: &str| Element::last(header).and_then(|element| element.names());
    assert!(names("URI=spiffe://a/b;URI=spiffe://a/b").is_err());
    assert!(names("URI=spiffe://a/b;DNS=x;URI=spiffe://a/c").is_err());
    assert!(names("URI=https://a/b;DNS=x").is_err());
    assert!(names("By=spiffe://a/b").is_err());
    let one = names("URI=;DNS=X.example").expect("a DNS name");
    assert_eq!((one.spiffe_id, one.dns), (None, vec!["x.example".to_owned()]));
    let one = names("URI=spiffe://a/b").expect("a SPIFFE ID");
    assert_eq!(one.spiffe_id.expect("an ID").path(), "/b");
}

/// Splits outside quotes; a quote counts unless a backslash is before it.
fn split(text: &str, separator: char) -> Option<Vec<String>> {
    let (mut parts, mut quoted, mut before) = (vec![String::new()], false, ' ');
    for char in text.chars() {
        if char == '"' && (!quoted || before != '\\') {
            quoted = !quoted;
        }
        match char == separator && !quoted {
            true => parts.push(String::new()),
            false => parts.last_mut()?.push(char),
        }
        before = char;
    }
    (!quoted).then_some(parts)
}

/// The second parser: it splits first, and then looks at the parts. `None` if the header is malformed.
fn plain(header: &str) -> Option<(Vec<String>, Vec<String>)> {
    let mut last = None;
    for element in split(header, ',')? {
        let (mut uris, mut dns) = (Vec::new(), Vec::new());
        for pair in split(&element, ';')? {
            let (key, value) = pair.split_once('=')?;
            let key = key.trim_matches([' ', '\t']).to_lowercase();
            if key.is_empty() || !key.chars().all(|char| char.is_ascii_alphanumeric()) {
                return None;
            }
            let value = value.trim_end_matches([' ', '\t']);
            let value = match value.strip_prefix('"') {
                Some(rest) => {
                    let inner = rest.strip_suffix('"')?.replace("\\\"", "\u{0}");
                    if inner.contains('"') {
                        return None;
                    }
                    inner.replace('\u{0}', "\"")
                }
                None if value.contains('"') => return None,
                None => value.to_owned(),
            };
            match &*key {
                "uri" if !value.is_empty() => uris.push(value),
                "dns" => dns.push(value),
                _ => {}
            }
        }
        last = Some((uris, dns));
    }
    last
}

/// Text in which separators, quotes and keys are frequent.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "URI=",
        "uri=",
        "DNS=",
        "By=",
        "X",
        "a",
        "\"",
        "\"",
        "\\\"",
        ",",
        ";",
        "=",
        " ",
        "URI=\"a,b\"",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn any_value() -> impl Strategy<Value = String> {
    "[a-z0-9 ,;=\"]{0,12}"
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\\\""))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn both_parsers_agree(header in soup()) {
        // The second parser has no rule for backslashes before a quote.
        prop_assume!(!header.contains("\\\\"));
        let ours = Element::last(&header).ok().map(|element| (element.uris, element.dns));
        prop_assert_eq!(ours, plain(&header), "{}", header);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        before in prop::collection::vec(any_value(), 0..3),
        uri in any_value(),
        dns in prop::collection::vec(any_value(), 0..3),
    ) {
        let mut elements: Vec<_> = before.iter().map(|uri| format!("URI={}", quoted(uri))).collect();
        let names = dns.iter().map(|name| format!(";DNS={}", quoted(name))).collect::<String>();
        elements.push(format!("URI={}{names}", quoted(&uri)));
        let element = Element::last(&elements.join(",")).expect("well-formed");
        let uris = if uri.is_empty() { Vec::new() } else { vec![uri] };
        prop_assert_eq!((element.uris, element.dns), (uris, dns));
    }

    /// Guards against: a caller whose quotes join its part of the header with the proxy's.
    #[test]
    fn whatever_a_caller_sends_the_proxys_own_element_counts_or_none(
        forged in prop_oneof![soup(), "[ -~]{0,30}"],
        subject in "[a-z,;= ]{0,9}",
    ) {
        let own = format!("By=spiffe://a/me;Hash={HASH};Subject=\"{subject}\";URI=spiffe://a/real");
        if let Ok(element) = Element::last(&format!("{forged},{own}")) {
            prop_assert_eq!(element.uris, ["spiffe://a/real"]);
        }
    }

    #[test]
    fn no_text_panics(header in ".{0,60}") {
        let _ = Element::last(&header);
    }
}
