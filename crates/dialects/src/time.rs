//! Times on the wire: RFC 3339, UTC, with milliseconds (`protocol.md` 3).

/// Length of the text in bytes: `2023-11-14T22:13:20.123Z`.
pub const RFC3339_MS_BYTES: usize = 24;

/// The last time that can be written: the end of the year 9999. Later ones are written as this.
const LAST_MS: u64 = 253_402_300_799_999;
const DAY_MS: u64 = 86_400_000;

/// Appends a time given in milliseconds since 1970 UTC.
pub fn write_rfc3339_ms(out: &mut Vec<u8>, ms: u64) {
    let ms = ms.min(LAST_MS);
    let (day, in_day) = (ms / DAY_MS, ms % DAY_MS);
    let (year, month, date) = civil(day);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], date);
    digits(&mut text[11..13], in_day / 3_600_000);
    digits(&mut text[14..16], in_day / 60_000 % 60);
    digits(&mut text[17..19], in_day / 1000 % 60);
    digits(&mut text[20..23], in_day % 1000);
    out.extend_from_slice(&text);
}

/// The same as a string.
pub fn rfc3339_ms(ms: u64) -> String {
    let mut out = Vec::with_capacity(RFC3339_MS_BYTES);
    write_rfc3339_ms(&mut out, ms);
    out.into_iter().map(char::from).collect()
}

fn digits(slots: &mut [u8], mut value: u64) {
    for slot in slots.iter_mut().rev() {
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month and date of a day since 1970 in the proleptic Gregorian calendar: Howard Hinnant's `civil_from_days`, which
/// counts years from March so that the leap day comes last.
fn civil(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LAST_MS, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339_ms(ms), text);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
        let (mut year, mut month, mut date) = (1970, 1, 1);
        for day in 0..LAST_MS / DAY_MS {
            assert_eq!(civil(day), (year, month, date));
            date += 1;
            let length = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            if date > length {
                (month, date) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
