//! The scheme `ip`: an address, or a prefix of one (`IPAuthenticationProvider`).

/// The bytes of an address literal. Each part of an IPv4 literal is a decimal number with an optional sign
/// and any zeros in front, as the reference's runtime reads it.
fn bytes(literal: &str) -> Option<Vec<u8>> {
    if literal.contains(':') {
        return bytes_v6(literal);
    }
    let parts: Vec<&str> = literal.split('.').collect();
    if parts.len() != 4 {
        return None;
    }
    parts.into_iter().map(|p| p.parse::<i32>().ok().and_then(|v| u8::try_from(v).ok())).collect()
}

/// Groups of one to four hexadecimal digits, where a `::` stands for one or more that are zero. There are no IPv4
/// addresses in it and no zones; a sign is taken, as the reference's runtime takes it (`parseV6addr`).
fn bytes_v6(literal: &str) -> Option<Vec<u8>> {
    const GROUPS: usize = 8;
    let (front, back) = match literal.split_once("::") {
        None => (groups(literal)?, None),
        Some((_, back)) if back.contains("::") => return None,
        Some((front, back)) => {
            let side = |text: &str| if text.is_empty() { Some(Vec::new()) } else { groups(text) };
            (side(front)?, Some(side(back)?))
        }
    };
    let (given, back) = (front.len() + back.as_ref().map_or(0, Vec::len), back);
    let zeros = match &back {
        None if given == GROUPS => 0,
        Some(_) if given < GROUPS => GROUPS - given,
        _ => return None,
    };
    let all = front.into_iter().chain(std::iter::repeat_n(0, zeros)).chain(back.into_iter().flatten());
    Some(all.flat_map(u16::to_be_bytes).collect())
}

fn groups(text: &str) -> Option<Vec<u16>> {
    let group = |digits: &str| {
        let value = i32::from_str_radix(digits, 16).ok().filter(|_| digits.len() <= 4)?;
        // Cut to its lower half, which only a minus goes beyond.
        let [_, _, high, low] = value.to_be_bytes();
        Some(u16::from_be_bytes([high, low]))
    };
    text.split(':').map(group).collect()
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

    #[test]
    fn literals_of_ipv6() {
        for good in [
            "::",
            "1::",
            "1:2:3:4:5:6:7:8",
            "1:2:3::5:6:7:8",
            "00aB::1/0",
            "2001:db8::/32",
            "+1::-1",
            "::-fff",
        ] {
            assert!(is_valid(good), "{good}");
        }
        for bad in [
            "::ffff:10.0.0.1",
            "fe80::1%eth0",
            ":",
            ":::",
            "1:::2",
            "1::2::3",
            ":1",
            "1:",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4::5:6:7:8",
            "12345::",
            "g::",
            "+::",
            "::1/-1",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
        assert!(
            matches("0:0:0:0:0:0:0:ffff", "::-1"),
            "signs are taken, and what they give is cut to 16 bits"
        );
        assert!(matches("2001:db8:0:0:0:0:0:7", "2001:db8::/32"));
        assert!(!matches("fe80:0:0:0:0:0:0:1%2", "fe80::1"), "an address with a zone matches nothing");
    }
}
