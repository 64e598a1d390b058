//! Session codes: `adjective-animal-number`, a name people can read out (seed 000, `protocol.md` 3.1).
//!
//! A code is a name, not a secret: what resumes a session is the sealed token (`token.rs`). A code is held as its
//! position among all combinations, so it costs four bytes and an invalid one cannot be made.

use super::draw::{Draw, NoRandomness};
use std::fmt;

const ADJECTIVE_TEXT: &str = include_str!("words/adjectives.txt");
const ANIMAL_TEXT: &str = include_str!("words/animals.txt");
const ADJECTIVE_COUNT: usize = lines(ADJECTIVE_TEXT);
const ANIMAL_COUNT: usize = lines(ANIMAL_TEXT);
static ADJECTIVES: [&str; ADJECTIVE_COUNT] = split(ADJECTIVE_TEXT);
static ANIMALS: [&str; ANIMAL_COUNT] = split(ANIMAL_TEXT);

/// Numbers run from 1 to this.
const NUMBERS: u32 = 99;

/// A session's public name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionCode(u32);

impl SessionCode {
    /// How many codes there are; at least the 111 million of seed 000.
    pub const COMBINATIONS: u32 = (ADJECTIVE_COUNT * ANIMAL_COUNT) as u32 * NUMBERS;

    /// Draws one, each with the same chance.
    ///
    /// # Errors
    /// The operating system gave no random bytes.
    pub(super) fn draw(draw: &mut Draw) -> Result<Self, NoRandomness> {
        draw.below(Self::COMBINATIONS).map(Self)
    }

    /// The code at a position below [`Self::COMBINATIONS`].
    pub(super) fn from_index(index: u32) -> Option<Self> {
        (index < Self::COMBINATIONS).then_some(Self(index))
    }

    /// The position among all combinations.
    pub(super) fn index(self) -> u32 {
        self.0
    }

    /// Reads a code a person typed: in any case, but only one this server can have made.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (adjective, animal, number) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let adjective = position(&ADJECTIVES, adjective)?;
        let animal = position(&ANIMALS, animal)?;
        let number = number_of(number)?;
        Some(Self((adjective * ANIMAL_COUNT as u32 + animal) * NUMBERS + number - 1))
    }

    /// Whether a text has the form of a code, `^[a-z]+-[a-z]+-\d{1,2}$` in any case (the seed's `session_code`
    /// validator): it may still name no session and no words of ours.
    pub fn has_form(text: &str) -> bool {
        let mut parts = text.split('-');
        let word =
            |p: Option<&str>| p.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphabetic()));
        word(parts.next())
            && word(parts.next())
            && parts.next().is_some_and(|n| matches!(n.len(), 1 | 2) && n.bytes().all(|b| b.is_ascii_digit()))
            && parts.next().is_none()
    }
}

impl fmt::Display for SessionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, number) = (self.0 / NUMBERS, self.0 % NUMBERS + 1);
        let adjective = ADJECTIVES[words as usize / ANIMAL_COUNT];
        let animal = ANIMALS[words as usize % ANIMAL_COUNT];
        write!(f, "{adjective}-{animal}-{number}")
    }
}

impl fmt::Debug for SessionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a word stands in a sorted list, in any case.
fn position(list: &[&str], word: &str) -> Option<u32> {
    let lower = |b: &u8| b.to_ascii_lowercase();
    list.binary_search_by(|have| have.bytes().cmp(word.as_bytes().iter().map(lower))).ok().map(|i| i as u32)
}

/// 1 to 99 as we write it: no sign and no leading zero, so that one session has one spelling but for case.
fn number_of(text: &str) -> Option<u32> {
    match text.as_bytes() {
        [d @ b'1'..=b'9'] => Some(u32::from(d - b'0')),
        [t @ b'1'..=b'9', d @ b'0'..=b'9'] => Some(u32::from(t - b'0') * 10 + u32::from(d - b'0')),
        _ => None,
    }
}

const fn lines(text: &str) -> usize {
    let (bytes, mut i, mut n) = (text.as_bytes(), 0, 0);
    while i < bytes.len() {
        if bytes[i] == b'\n' {
            n += 1;
        }
        i += 1;
    }
    n
}

const fn split<const N: usize>(text: &'static str) -> [&'static str; N] {
    let mut words = [""; N];
    let (mut rest, mut n) = (text, 0);
    while n < N {
        let mut end = 0;
        while rest.as_bytes()[end] != b'\n' {
            end += 1;
        }
        let (word, tail) = rest.split_at(end);
        words[n] = word;
        rest = tail.split_at(1).1;
        n += 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_at_least_the_seeds_combinations() {
        assert_eq!(
            SessionCode::COMBINATIONS as usize,
            ADJECTIVES.len() * ANIMALS.len() * NUMBERS as usize,
            "the product did not overflow"
        );
        const { assert!(SessionCode::COMBINATIONS >= 111_000_000) }
    }

    #[test]
    fn words_are_sorted_unique_and_plain() {
        for list in [&ADJECTIVES[..], &ANIMALS[..]] {
            assert!(list.windows(2).all(|w| w[0] < w[1]));
            assert!(list.iter().all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase())));
        }
    }

    #[test]
    fn words_that_offend_are_not_in_the_lists() {
        const NEVER: &[&str] = &[
            "sex", "fuck", "shit", "cunt", "cock", "dick", "nigg", "fag", "rape", "slut", "whor", "nazi",
            "coon", "suck", "jew", "kill", "god", "hell",
        ];
        let whole = [
            "ape", "monkey", "pig", "cow", "bitch", "stud", "cougar", "rat", "human", "hot", "lusty", "crack",
        ];
        for word in ADJECTIVES.iter().chain(&ANIMALS) {
            assert!(!whole.contains(word), "{word}");
            let harmless = matches!(*word, "raccoon" | "godwit" | "skilled");
            assert!(harmless || !NEVER.iter().any(|n| word.contains(n)), "{word}");
        }
    }

    #[test]
    fn every_position_has_one_text_and_back() {
        let step = 997;
        for index in (0..SessionCode::COMBINATIONS).step_by(step).chain([SessionCode::COMBINATIONS - 1]) {
            let code = SessionCode::from_index(index).unwrap();
            let text = code.to_string();
            assert!(SessionCode::has_form(&text), "{text}");
            assert_eq!(SessionCode::parse(&text), Some(code));
        }
        assert_eq!(SessionCode::from_index(SessionCode::COMBINATIONS), None);
    }

    #[test]
    fn case_does_not_matter_but_spelling_does() {
        let code = SessionCode::parse("happy-panda-42").unwrap();
        assert_eq!(SessionCode::parse("HAPPY-Panda-42"), Some(code));
        assert_eq!(code.to_string(), "happy-panda-42");
        for other in [
            "happy-panda",
            "happy-panda-042",
            "happy-panda-0",
            "happy-panda-+4",
            "happy-panda-100",
            "panda-happy-42",
            "happy-panda-42-",
            " happy-panda-42",
            "happy-panda-４",
            "",
        ] {
            assert_eq!(SessionCode::parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_form_is_the_seeds_pattern() {
        for good in ["a-b-0", "no-such-42", "HAPPY-PANDA-07"] {
            assert!(SessionCode::has_form(good), "{good}");
        }
        for bad in ["", "a-b", "a-b-", "a-b-123", "a--1", "a-b-1-", "a1-b-1", "é-b-1", "a-b-x", "a-b-1\n"] {
            assert!(!SessionCode::has_form(bad), "{bad}");
        }
    }

    /// Chi-square over buckets of positions and over each word and number, of 10 million draws.
    #[test]
    fn draws_are_uniform() {
        let n = 10_000_000;
        let mut buckets = vec![0u32; 4096];
        let mut adjectives = vec![0u32; ADJECTIVE_COUNT];
        let mut animals = vec![0u32; ANIMAL_COUNT];
        let mut numbers = vec![0u32; NUMBERS as usize];
        let mut draw = Draw::default();
        for _ in 0..n {
            let i = SessionCode::draw(&mut draw).unwrap().index();
            assert!(i < SessionCode::COMBINATIONS);
            buckets[(u64::from(i) * 4096 / u64::from(SessionCode::COMBINATIONS)) as usize] += 1;
            adjectives[(i / NUMBERS) as usize / ANIMAL_COUNT] += 1;
            animals[(i / NUMBERS) as usize % ANIMAL_COUNT] += 1;
            numbers[(i % NUMBERS) as usize] += 1;
        }
        for counts in [&buckets, &adjectives, &animals, &numbers] {
            let expected = f64::from(n) / counts.len() as f64;
            let chi: f64 = counts.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
            let freedom = (counts.len() - 1) as f64;
            // Six standard deviations: a fair draw fails once in a hundred million runs.
            let bound = freedom + 6.0 * (2.0 * freedom).sqrt() + 20.0;
            assert!(chi < bound, "chi-square {chi} of {} classes is over {bound}", counts.len());
        }
    }
}
