//! Numbers and dates the way a Java server prints them, because tools read them so.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A decimal number as `Double.toString` prints it.
#[must_use]
pub fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let size = value.abs();
    if value == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if digits.contains('.') => format!("{digits}E{exponent}"),
        Some((digits, exponent)) => format!("{digits}.0E{exponent}"),
        None => text,
    }
}

/// Rounded to four decimals, halves away from zero.
#[must_use]
pub fn four_decimals(value: f64) -> f64 {
    let scaled = value * 1e4;
    // Only where the product is exact is there a half; elsewhere the digits decide.
    if scaled.fract().abs() == 0.5 && value.mul_add(1e4, -scaled) == 0.0 {
        return (scaled + 0.5_f64.copysign(scaled)).trunc() / 1e4;
    }
    format!("{value:.4}").parse().unwrap_or(value)
}

/// `sum` over `count` with four decimals, 0 without any.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "an average of that many is rounded to four decimals anyway")]
pub fn average(sum: i64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { four_decimals(sum as f64 / count as f64) }
}

/// The time zone in which dates are printed.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

impl Zone {
    /// Universal time.
    #[must_use]
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The zone of this machine, by `TZ` and `/etc/localtime`; universal time where neither says anything.
    #[must_use]
    pub fn of_this_machine() -> Self {
        TimeZone::try_system().map_or_else(|_| Self::utc(), Self)
    }

    /// By its name in the time zone database.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// Milliseconds since 1970 as `Date.toString` prints them: `EEE MMM dd HH:mm:ss zzz yyyy`.
    #[must_use]
    pub fn date(&self, wall: i64) -> String {
        let Ok(at) = Timestamp::from_millisecond(wall) else { return "<NA>".to_owned() };
        let at = at.to_zoned(self.0.clone());
        format!("{} {} {}", at.strftime("%a %b %d %H:%M:%S"), zone_name(&at), at.strftime("%Y"))
    }

    /// Milliseconds since 1970 as the log toolkit prints them: `M/d/yy, h:mm:ss a z`.
    #[must_use]
    pub fn short_date(&self, wall: i64) -> String {
        let Ok(at) = Timestamp::from_millisecond(wall) else { return "<NA>".to_owned() };
        let at = at.to_zoned(self.0.clone());
        format!("{} {}", at.strftime("%-m/%-d/%y, %-I:%M:%S %p"), zone_name(&at))
    }
}

/// Short name of the zone; those that have none but an offset are named by it.
fn zone_name(at: &jiff::Zoned) -> String {
    let name = at.strftime("%Z").to_string();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name
    } else {
        format!("GMT{}", at.strftime("%:z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (1.5714, "1.5714"),
            (2.25, "2.25"),
            (0.001, "0.001"),
            (0.00034, "3.4E-4"),
            (0.0001, "1.0E-4"),
            (-0.0005, "-5.0E-4"),
            (9_999_999.0, "9999999.0"),
            (10_000_000.0, "1.0E7"),
            (12_345_678.5, "1.23456785E7"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn averages() {
        for (sum, count, text) in [
            (0, 0, "0.0"),
            (11, 7, "1.5714"),
            (1, 3, "0.3333"),
            (2, 3, "0.6667"),
            (1, 32, "0.0313"),
            (-1, 2, "-0.5"),
        ] {
            assert_eq!(double(average(sum, count)), text, "{sum}/{count}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(Zone::utc().date(1_795_180_960_000), "Fri Nov 20 13:22:40 UTC 2026");
        assert_eq!(Zone::utc().date(0), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(Zone::utc().date(i64::MAX), "<NA>");
        assert_eq!(Zone::utc().short_date(1_795_180_960_000), "11/20/26, 1:22:40 PM UTC");
        assert_eq!(Zone::utc().short_date(0), "1/1/70, 12:00:00 AM UTC");
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").map(Zone).unwrap();
        assert_eq!(zone.date(1_795_180_960_000), "Fri Nov 20 14:22:40 CET 2026");
        assert_eq!(zone.date(1_780_000_000_000), "Thu May 28 22:26:40 CEST 2026");
        let zone = TimeZone::posix("<-0330>3:30").map(Zone).unwrap();
        assert_eq!(zone.date(0), "Wed Dec 31 20:30:00 GMT-03:30 1969");
    }
}
