//! Numbers and switches as Java reads them.
//!
//! Pure text to value; which reading a key gets is decided by its class.
//!
//! Invariant: `None` exactly where Java throws or falls back.

/// `Integer.parseInt`: decimal digits with an optional sign, nothing else.
#[must_use]
pub fn strict_int(text: &str) -> Option<i32> {
    strict(text).and_then(|value| i32::try_from(value).ok())
}

/// `Long.parseLong`.
#[must_use]
pub fn strict_long(text: &str) -> Option<i64> {
    strict(text).and_then(|value| i64::try_from(value).ok())
}

/// `Integer.decode`: also `0x`, `0X` and `#` for hexadecimal and a leading `0` for octal.
#[must_use]
pub fn decode_int(text: &str) -> Option<i32> {
    decode(text).and_then(|value| i32::try_from(value).ok())
}

/// `Long.decode`.
#[must_use]
pub fn decode_long(text: &str) -> Option<i64> {
    decode(text).and_then(|value| i64::try_from(value).ok())
}

/// `Double.parseDouble`, without hexadecimal fractions.
#[must_use]
pub fn real(text: &str) -> Option<f64> {
    let text = super::parse::java_trim(text);
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        "NaN" => return Some(f64::NAN),
        "Infinity" => return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        _ => {}
    }
    let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    // Rust reads words such as "inf" that Java does not know.
    let plain = digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'));
    plain.then(|| digits.parse().ok()).flatten()
}

fn strict(text: &str) -> Option<i128> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    signed(text.starts_with('-'), digits, 10)
}

fn decode(text: &str) -> Option<i128> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, radix) =
        if let Some(rest) = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
            (rest, 16)
        } else if let Some(rest) = unsigned.strip_prefix('#') {
            (rest, 16)
        } else if let Some(rest) = unsigned.strip_prefix('0').filter(|rest| !rest.is_empty()) {
            (rest, 8)
        } else {
            (unsigned, 10)
        };
    signed(text.starts_with('-'), digits, radix)
}

/// Digits of a radix with a sign handed in; a sign among the digits is refused, as Java does.
fn signed(negative: bool, digits: &str, radix: u32) -> Option<i128> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_numbers_are_decimal() {
        assert_eq!(strict_int("+5"), Some(5));
        assert_eq!(strict_int("-2147483648"), Some(i32::MIN));
        assert_eq!(strict_int("010"), Some(10));
        for bad in ["", "-", "+", " 1", "1 ", "0x10", "60 # x", "2147483648", "1_0", "--1", "+-1"] {
            assert_eq!(strict_int(bad), None, "{bad:?}");
        }
        assert_eq!(strict_long("9223372036854775807"), Some(i64::MAX));
        assert_eq!(strict_long("9223372036854775808"), None);
    }

    #[test]
    fn decoded_numbers_know_hex_and_octal() {
        for (text, value) in [
            ("0x10", 16),
            ("-0X1f", -31),
            ("#ff", 255),
            ("010", 8),
            ("0", 0),
            ("-0", 0),
            ("+7", 7),
            ("00", 0),
        ] {
            assert_eq!(decode_int(text), Some(value), "{text}");
        }
        for bad in ["", "0x", "08", "0x-1", "1k", "#", "-", "0xFFFFFFFF", " 1"] {
            assert_eq!(decode_int(bad), None, "{bad:?}");
        }
        assert_eq!(decode_long("0xFFFFFFFF"), Some(0xffff_ffff));
    }

    #[test]
    fn fractions() {
        assert_eq!(real(" 0.5 "), Some(0.5));
        assert_eq!(real("-1e-3"), Some(-0.001));
        assert_eq!(real("1f"), Some(1.0));
        assert_eq!(real(".5"), Some(0.5));
        assert!(real("NaN").is_some_and(f64::is_nan));
        for bad in ["", "inf", "nan", "x", "1,5", "infinity"] {
            assert_eq!(real(bad), None, "{bad:?}");
        }
    }
}
