//! Certificates with changed bytes. The rules are tested in `tests/mtls/certificates.rs`.

use proptest::prelude::*;

use super::*;

const CERTIFICATES: [&[u8]; 4] = [
    include_bytes!("../../tests/data/mtls/good.der"),
    include_bytes!("../../tests/data/mtls/dns.der"),
    include_bytes!("../../tests/data/mtls/two_uris.der"),
    include_bytes!("../../tests/data/mtls/ca.der"),
];

fn contains(der: &[u8], text: &str) -> bool {
    let lower = der.to_ascii_lowercase();
    let text = text.to_ascii_lowercase();
    lower.windows(text.len()).any(|window| window == text.as_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn changed_bytes_never_panic_and_never_make_up_a_name(
        which in 0..CERTIFICATES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut der = CERTIFICATES[which].to_vec();
        for (at, byte) in changes {
            let at = at.index(der.len());
            der[at] = byte;
        }
        if let Ok(leaf) = Leaf::read(&der) {
            let id = leaf.names.spiffe_id.iter().map(SpiffeId::as_str);
            for name in id.chain(leaf.names.dns.iter().map(String::as_str)) {
                prop_assert!(contains(&der, name), "{name}");
            }
        }
    }

    #[test]
    fn a_part_of_a_certificate_is_none(
        which in 0..CERTIFICATES.len(),
        end in any::<prop::sample::Index>(),
    ) {
        let der = CERTIFICATES[which];
        prop_assert!(Leaf::read(&der[..end.index(der.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_refused(der in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Leaf::read(&der).is_err());
    }
}
