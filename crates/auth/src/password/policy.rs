//! Which passwords are accepted (OWASP ASVS 5.0 6.2): long enough, not among the commonest, not the username. No rules
//! about kinds of characters, no trimming, no truncation.

use super::normal::normal;

/// Maximum number of characters.
pub const MAX_LENGTH: usize = 128;

/// The commonest passwords of at least eight characters, lower-cased and sorted; their source is described in
/// `data/LICENSE.md`. Shorter ones are rejected for their length.
const COMMON: &str = include_str!("../../data/common-passwords.txt");

/// Why a password is rejected; the text says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// Fewer characters than required.
    #[error("use at least {0} characters")]
    TooShort(u16),
    /// More than [`MAX_LENGTH`] characters.
    #[error("use at most {MAX_LENGTH} characters")]
    TooLong,
    /// One of the most common passwords.
    #[error("this is one of the most common passwords; choose another")]
    Common,
    /// The username, or the username twice or reversed.
    #[error("choose a password that is not your username")]
    Username,
}

/// The requirements on a password.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Minimum number of characters: 8 by default, 15 where the password is the only factor (NIST SP 800-63B-4).
    pub min_length: u16,
}

impl Policy {
    /// Checks a new password by its normal form, which is what is hashed. Characters are Unicode scalar values.
    ///
    /// # Errors
    /// See [`Weakness`].
    pub fn check(&self, password: &str, username: &str) -> Result<(), Weakness> {
        let password = normal(password);
        let length = password.chars().take(MAX_LENGTH + 1).count();
        if length < usize::from(self.min_length) {
            return Err(Weakness::TooShort(self.min_length));
        }
        if length > MAX_LENGTH {
            return Err(Weakness::TooLong);
        }
        let (lower, name) = (password.to_lowercase(), username.to_lowercase());
        let reversed: String = name.chars().rev().collect();
        if lower == name || lower == reversed || lower == name.repeat(2) {
            return Err(Weakness::Username);
        }
        if is_common(&lower) { Err(Weakness::Common) } else { Ok(()) }
    }
}

/// Finds a line of [`COMMON`] by binary search on its bytes, without a second copy in memory.
fn is_common(password: &str) -> bool {
    let wanted = password.as_bytes();
    let (mut low, mut high) = (0, COMMON.len());
    while low < high {
        let bytes = COMMON.as_bytes();
        let middle = low + (high - low) / 2;
        let start = bytes[low..middle].iter().rposition(|b| *b == b'\n').map_or(low, |at| low + at + 1);
        let end = bytes[middle..high].iter().position(|b| *b == b'\n').map_or(high, |at| middle + at);
        match bytes[start..end].cmp(wanted) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = end + 1,
            std::cmp::Ordering::Greater => high = start,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{COMMON, Policy, Weakness, is_common};

    const POLICY: Policy = Policy { min_length: 8 };

    #[test]
    fn the_list_is_sorted_long_enough_and_found_whole() {
        let lines: Vec<&str> = COMMON.lines().collect();
        assert!(lines.len() >= 3000, "{}", lines.len());
        assert!(lines.is_sorted());
        for line in &lines {
            assert!(is_common(line), "{line}");
            assert!(!is_common(&format!("{line}\u{1}")) && !is_common(&format!("\u{1}{line}")));
        }
        for text in ["", "\n", "password\n", "zzzzzzzzzzzzzzzz", "\0", "correct horse battery staple"] {
            assert!(!is_common(text), "{text:?}");
        }
    }

    #[test]
    fn length_counts_characters() {
        let short = Err(Weakness::TooShort(8));
        assert_eq!(POLICY.check("xkq 9ü!", "alice"), short);
        assert_eq!(POLICY.check("ßäöüßäöü", "alice"), Ok(()));
        assert_eq!(POLICY.check(&"🦊".repeat(128), "alice"), Ok(()));
        assert_eq!(
            POLICY.check(&"e\u{301}".repeat(7), "alice"),
            short,
            "as it is hashed, not as it is typed"
        );
        assert_eq!(POLICY.check(&"x".repeat(129), "alice"), Err(Weakness::TooLong));
        assert_eq!(Policy { min_length: 15 }.check("Tr0ub4dor&3-abc", "alice"), Ok(()));
        assert_eq!(Policy { min_length: 15 }.check("Tr0ub4dor&3-ab", "alice"), Err(Weakness::TooShort(15)));
    }

    #[test]
    fn common_ones_and_the_name_are_refused_in_any_case() {
        for text in ["password", "PassWord", "12345678", "iloveyou", "trustno1", "QWERTYUIOP"] {
            assert_eq!(POLICY.check(text, "alice"), Err(Weakness::Common), "{text}");
        }
        for text in ["wonderland", "WonderLand", "dnalrednow", "wonderlandwonderland"] {
            assert_eq!(POLICY.check(text, "wonderland"), Err(Weakness::Username), "{text}");
        }
        assert_eq!(POLICY.check(" wonderland", "wonderland"), Ok(()), "nothing is trimmed");
        assert_eq!(Weakness::TooShort(8).to_string(), "use at least 8 characters");
    }
}
