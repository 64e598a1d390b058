//! Administration over HTTP (`http-api.md` "Admin"): for users with the role `admin` and API keys with the scope `admin`.
//!
//! Every call is an `admin_action` of the audit log; one by a known caller without the right is an `authz_fail`. The
//! routes are removed from the public listener when `server.ops_listen` has an address.

mod audit;
mod config;
mod connections;
mod metrics;
mod notices;
mod users;

use super::Http;
use super::body::{self, Params, PathText};
use super::problem::Problem;
use super::sender::Sender;
use fanfare_core::model::Refusal;
use fanfare_services::admin::AdminError;
use fanfare_store::StoreError;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Http> {
    OpenApiRouter::new()
        .routes(routes!(connections::list))
        .routes(routes!(connections::close))
        .routes(routes!(users::list))
        .routes(routes!(users::disable))
        .routes(routes!(users::enable))
        .routes(routes!(audit::list))
        .routes(routes!(config::show))
        .routes(routes!(metrics::list))
        .routes(routes!(notices::send))
}

/// The problem for a failed store: 503, with the reason in the log only; 400 for a value that cannot be stored.
fn unavailable(error: StoreError) -> Problem {
    Refusal::from(AdminError::from(error)).into()
}

/// The schema of [`moment`], for the documents; no pattern expresses how many days a month has.
#[derive(utoipa::ToSchema)]
#[schema(
    value_type = String,
    example = "2026-11-21T11:21:00Z",
    pattern = r"^([0-9]{1,15}|[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,18})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))$"
)]
#[allow(dead_code, reason = "the schema of a parameter that is parsed manually for its exact errors")]
struct Moment(String);

/// A moment given as RFC 3339 in UTC or as milliseconds since 1970.
fn moment(name: &'static str, text: Option<&str>) -> Result<Option<u64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let wrong = || {
        Problem::invalid(
            name,
            format!("{name} is a time such as 2026-11-21T11:21:00Z, or milliseconds since 1970"),
        )
    };
    text.parse().ok().or_else(|| rfc3339(text)).map(Some).ok_or_else(wrong)
}

/// Milliseconds since 1970 of `YYYY-MM-DDTHH:MM:SS[.mmm]` and `Z` or an offset; 0 for earlier times.
fn rfc3339(text: &str) -> Option<u64> {
    if let Some(utc) = text.strip_suffix(['Z', 'z']) {
        return in_utc(utc).map(|ms| ms.max(0).unsigned_abs());
    }
    let at = text.len().checked_sub("+00:00".len())?;
    let (local, offset) = text.split_at_checked(at)?;
    let (sign, offset) = offset.split_at_checked(1)?;
    let (hours, minutes) = offset.split_once(':')?;
    let ms = (number(hours).filter(|h| *h < 24)? * 60 + number(minutes).filter(|m| *m < 60)?) * 60_000;
    let utc = match sign {
        "+" => in_utc(local)? - ms,
        "-" => in_utc(local)? + ms,
        _ => return None,
    };
    Some(utc.max(0).unsigned_abs())
}

fn in_utc(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let fields = |text: &str, sign: char, widths: [usize; 3]| -> Option<[i64; 3]> {
        let mut parts = text.split(sign);
        let mut out = [0; 3];
        for (field, width) in out.iter_mut().zip(widths) {
            *field = number(parts.next().filter(|part| part.len() == width)?)?;
        }
        parts.next().is_none().then_some(out)
    };
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = fields(time, ':', [2, 2, 2])?;
    let ms = number(fraction.get(..fraction.len().min(3))?)? * [100, 10, 1][fraction.len().clamp(1, 3) - 1];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let in_month = *days.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    let sound = (1..=in_month).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !sound || number(fraction).is_none() {
        return None;
    }
    let before = year - 1;
    let leaps = |y: i64| y / 4 - y / 100 + y / 400;
    let since_1970 = (year - 1970) * 365 + leaps(before) - leaps(1969);
    let in_year: i64 = days[..month as usize - 1].iter().sum::<i64>() + day - 1;
    Some(((since_1970 + in_year) * 24 + hour) * 3_600_000 + (minute * 60 + second) * 1000 + ms)
}

fn number(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_core::time::rfc3339_ms;

    #[test]
    fn moments_read_back_as_they_are_written() {
        for ms in [0, 951_782_400_000, 1_709_164_799_999, 1_790_000_000_123, 4_107_542_400_001] {
            assert_eq!(rfc3339(&rfc3339_ms(ms)), Some(ms), "{}", rfc3339_ms(ms));
        }
        assert_eq!(rfc3339("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(rfc3339("1970-01-01T00:00:00.5Z"), Some(500));
        assert_eq!(rfc3339("1970-01-01T02:00:00+01:30"), Some(30 * 60_000));
        assert_eq!(rfc3339("1969-12-31T23:00:00-02:00"), Some(3_600_000));
        assert_eq!(rfc3339("0001-01-01T00:00:00Z"), Some(0));
        assert_eq!(rfc3339("1970-01-01T00:00:00.123456Z"), Some(123));
        for invalid in [
            "",
            "Z",
            "1970-01-01",
            "1970-13-01T00:00:00Z",
            "1970-02-29T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-1-01T00:00:00Z",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.5xZ",
            "+970-01-01T00:00:00Z",
            "1970-01-01T00:00:00+00",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00 00:00",
            "ü:00",
            "1970-01-01T00:00:00é1:00",
            "é01:00",
            "é",
            "€00:00",
            "1970-01-01T00:00:00.é1Z",
            "1970-01-01T00:00:00.12éZ",
        ] {
            assert_eq!(rfc3339(invalid), None, "{invalid}");
        }
        assert_eq!(moment("since", Some("12")).unwrap(), Some(12));
        assert!(moment("since", Some("yesterday")).is_err());
    }
}
