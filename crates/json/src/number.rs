//! Integers in every JSON notation.

/// The most digits an integer may have; all bounds in this workspace are smaller.
const MAX_DIGITS: usize = 38;

/// Reads the integer that a JSON number stands for, in any notation: `5`, `5.0`, `50e-1`, `1e1`, `-0`. Returns `None`
/// for a fraction, for a value that is not a number, and beyond 38 digits.
pub fn integer(json: &str) -> Option<i128> {
    let (negative, unsigned) = match json.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, json),
    };
    if !unsigned.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let magnitude = if unsigned.bytes().all(|b| b.is_ascii_digit()) && unsigned.len() <= MAX_DIGITS {
        unsigned.parse().ok()?
    } else {
        written_otherwise(unsigned)?
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// A number with a fraction, an exponent or many digits.
fn written_otherwise(unsigned: &str) -> Option<i128> {
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() && fraction.is_empty() {
        return Some(0);
    }
    // An exponent that does not fit moves the point beyond every digit of a text.
    let exponent: i64 = exponent.parse().ok()?;
    let shift = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    let shift = shift.checked_add(i64::try_from(digits.len() - kept.len()).ok()?)?;
    let zeros = usize::try_from(shift).ok()?; // negative: a fraction
    if kept.len().checked_add(zeros)? > MAX_DIGITS {
        return None;
    }
    format!("{kept}{}", "0".repeat(zeros)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_however_written() {
        for (json, want) in [
            ("0", 0),
            ("-0", 0),
            ("0.0", 0),
            ("0e9", 0),
            ("-0.0e-5", 0),
            ("0e99999999999999999999", 0),
            ("5", 5),
            ("-5", -5),
            ("5.0", 5),
            ("5.000", 5),
            ("1e1", 10),
            ("1E+1", 10),
            ("1.5e1", 15),
            ("50e-1", 5),
            ("0.05e2", 5),
            ("-2.50e2", -250),
            ("100e-2", 1),
            ("18446744073709551615", u64::MAX.into()),
            ("1.8446744073709551615e19", u64::MAX.into()),
            ("10000000000000000000e-1", 1_000_000_000_000_000_000),
        ] {
            assert_eq!(integer(json), Some(want), "{json}");
        }
        for json in [
            "",
            "-",
            "null",
            "true",
            "\"5\"",
            "[]",
            "0.5",
            "5.5",
            "1e-1",
            "15e-2",
            "1e39",
            "1e400",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "123456789012345678901234567890123456789",
        ] {
            assert_eq!(integer(json), None, "{json}");
        }
    }
}
