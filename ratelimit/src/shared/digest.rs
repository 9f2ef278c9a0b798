//! Hashes of keys that are the same in every replica.

use std::hash::Hasher;

use sha2::{Digest as _, Sha256};

/// Hashes keys with SHA-256, of which 128 bits are kept.
///
/// The random seeds of a process would give each replica other hashes. Without random seeds the hash itself must
/// withstand callers that search for the key of another caller, which SipHash with known seeds does not.
#[derive(Clone, Default)]
pub(crate) struct KeyDigest(Sha256);

/// Writes numbers in the same way on all platforms.
struct Stable(Sha256);

impl KeyDigest {
    /// With a secret, a hash says nothing about its key to those who do not have the secret.
    pub(crate) fn with_secret(secret: &[u8]) -> Self {
        let mut sha = Sha256::new();
        sha.update((secret.len() as u64).to_le_bytes());
        sha.update(secret);
        Self(sha)
    }

    /// The hash of all that `write` writes.
    pub(crate) fn hash_with(&self, write: impl FnOnce(&mut dyn Hasher)) -> u128 {
        let mut stable = Stable(self.0.clone());
        write(&mut stable);
        let hash = stable.0.finalize();
        let (half, _) = hash.split_at(16);
        half.iter().fold(0, |all, byte| all << 8 | u128::from(*byte))
    }
}

impl Hasher for Stable {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn write_u16(&mut self, number: u16) {
        self.write(&number.to_le_bytes());
    }

    fn write_u32(&mut self, number: u32) {
        self.write(&number.to_le_bytes());
    }

    fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    fn write_u128(&mut self, number: u128) {
        self.write(&number.to_le_bytes());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    /// Never called: the whole hash is read instead.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hash as _;

    use super::*;

    /// Guards against: a new version of this crate that gives callers other keys than the replicas beside it.
    #[test]
    fn a_hash_never_changes() {
        let hash = |digest: KeyDigest| {
            digest.hash_with(|mut hasher| ("ann", 7_u32, 9_usize).hash(&mut hasher))
        };
        let sha = |text: &[u8]| {
            let hash = Sha256::digest(text);
            u128::from_be_bytes(hash[..16].try_into().expect("16 bytes"))
        };
        let key = b"ann\xff\x07\0\0\0\x09\0\0\0\0\0\0\0";
        assert_eq!(hash(KeyDigest::default()), sha(key));
        let keyed = [b"\x02\0\0\0\0\0\0\0pw".as_slice(), key].concat();
        assert_eq!(hash(KeyDigest::with_secret(b"pw")), sha(&keyed));
    }
}
