//! The scheme `ip`: an address, or a prefix of one (`IPAuthenticationProvider`).

use std::net::Ipv6Addr;

/// The bytes of an address literal. Each part of an IPv4 literal is a decimal number with an optional sign
/// and any zeros in front, as the reference's runtime reads it.
fn bytes(literal: &str) -> Option<Vec<u8>> {
    if literal.contains(':') {
        let plain = literal.split('%').next().unwrap_or_default();
        return plain.parse::<Ipv6Addr>().ok().map(|a| a.octets().to_vec());
    }
    let parts: Vec<&str> = literal.split('.').collect();
    if parts.len() != 4 {
        return None;
    }
    parts.into_iter().map(|p| p.parse::<i32>().ok().and_then(|v| u8::try_from(v).ok())).collect()
}

/// Address bytes and prefix length of an entry.
fn prefix(entry: &str) -> Option<(Vec<u8>, usize)> {
    let (literal, bits) = match entry.split_once('/') {
        Some((literal, bits)) => (literal, Some(bits)),
        None => (entry, None),
    };
    let address = bytes(literal)?;
    let most = address.len() * 8;
    let bits = match bits {
        None => most,
        Some(text) => usize::try_from(text.parse::<i32>().ok()?).ok().filter(|b| *b <= most)?,
    };
    Some((address, bits))
}

/// May this stand in an access list?
#[must_use]
pub fn is_valid(entry: &str) -> bool {
    prefix(entry).is_some()
}

/// Does the address of a connection match an entry?
#[must_use]
pub fn matches(remote: &str, entry: &str) -> bool {
    let (Some(remote), Some((address, bits))) = (bytes(remote), prefix(entry)) else { return false };
    remote.len() == address.len()
        && remote.iter().zip(&address).enumerate().all(|(i, (a, b))| {
            let kept = bits.saturating_sub(i * 8).min(8);
            let mask = 0xff_u8.checked_shl(8 - u32::try_from(kept).unwrap_or(8)).unwrap_or(0);
            a & mask == b & mask
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        assert!(matches("127.0.0.1", "127.0.0.1"));
        assert!(matches("127.0.0.1", "127.0.0.0/8"));
        assert!(matches("127.9.0.1", "127.0.0.1/8"));
        assert!(!matches("128.0.0.1", "127.0.0.0/8"));
        assert!(matches("10.1.2.3", "0.0.0.0/0"));
        assert!(matches("10.1.2.3", "10.1.2.0/23"));
        assert!(!matches("10.1.4.3", "10.1.2.0/23"));
        assert!(matches("::1", "0:0:0:0:0:0:0:1"));
        assert!(!matches("::1", "127.0.0.1/0"), "families do not mix");
    }

    #[test]
    fn literals() {
        for good in ["1.2.3.4", "1.2.3.4/0", "1.2.3.4/32", "::1/128", "01.2.3.4"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "1.2.3", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/x", "1.2.3.256", "host", "::1/129"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
