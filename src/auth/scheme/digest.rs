//! The scheme `digest`: a user and the hash of `user:password`. The hash is unsalted, as the reference's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::Digest as _;
use subtle::ConstantTimeEq as _;

/// The hash behind a digest (`DigestAuthenticationProvider.digestAlg`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-1, the default.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA-512 cut to 224 bits.
    Sha512To224,
    /// SHA-512 cut to 256 bits.
    Sha512To256,
}

impl Algorithm {
    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => sha1::Sha1::digest(bytes).to_vec(),
            Self::Sha224 => sha2::Sha224::digest(bytes).to_vec(),
            Self::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(bytes).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(bytes).to_vec(),
            Self::Sha512To224 => sha2::Sha512_224::digest(bytes).to_vec(),
            Self::Sha512To256 => sha2::Sha512_256::digest(bytes).to_vec(),
        }
    }
}

/// The name that `user:password` gives: the user, and the hash of the whole.
#[must_use]
pub fn identify(algorithm: Algorithm, credentials: &[u8]) -> String {
    let text = jute::text::decode(credentials);
    let user = text.split(':').next().unwrap_or_default();
    format!("{user}:{}", STANDARD.encode(algorithm.hash(text.as_bytes())))
}

/// Is this the name of somebody: two parts around a colon, trailing empty ones not counted.
#[must_use]
pub fn is_valid(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

/// Equal, in a time that tells nothing about where they differ.
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sheet_s_vectors() {
        for (credentials, id) in [
            ("super:test", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="),
            ("bob:bobsecret", "bob:WGAwC+XYxdw8bJ5K6KcPh8oL58U="),
            ("user:password", "user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY="),
        ] {
            assert_eq!(identify(Algorithm::Sha1, credentials.as_bytes()), id);
        }
    }

    #[test]
    fn names() {
        for good in ["a:b", ":b", "a:b::"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "a", "a:", "a:b:c", ":"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
