//! Channel templates: `prices:{key}`, `{header:region}-{json:/pair/base}`.

use super::json::Pointer;
use super::{Bad, Headers};
use std::borrow::Cow;

/// Longest channel name in bytes; as for topics (`protocol.md` 3.2).
pub(crate) const MAX_CHANNEL_BYTES: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Key,
    Header(String),
    Json(Pointer),
}

/// A channel name, fixed or made from each record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// The error, in words that follow the key's name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            if at > 0 {
                parts.push(Part::Literal(rest[..at].to_owned()));
            }
            let hole = rest[at..].strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, after) = hole.ok_or_else(|| format!("has an unpaired brace in `{text}`"))?;
            parts.push(part(name).ok_or_else(|| {
                format!("has `{{{name}}}`; braces may hold `key`, `header:NAME` and `json:/pointer`")
            })?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        let template = Self(parts);
        match template.fixed() {
            Some(name) if !is_name(name) => Err(NAME_RULE.to_owned()),
            None if template.0.is_empty() => Err(NAME_RULE.to_owned()),
            _ => Ok(template),
        }
    }

    /// The name, if it does not depend on the record.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match &*self.0 {
            [Part::Literal(name)] => Some(name),
            _ => None,
        }
    }

    /// Whether the name depends on the record's value, so that a record without one cannot have a name.
    pub(crate) fn needs_value(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Json(_)))
    }

    /// Whether some record could result in this name: the fixed parts occur where they must, in order.
    pub(crate) fn could_make(&self, name: &str) -> bool {
        let (mut parts, mut rest) = (&*self.0, name);
        if let [Part::Literal(all)] = parts {
            return all == name;
        }
        if let [Part::Literal(first), others @ ..] = parts {
            let Some(after) = rest.strip_prefix(&**first) else { return false };
            (parts, rest) = (others, after);
        }
        if let [others @ .., Part::Literal(last)] = parts {
            let Some(before) = rest.strip_suffix(&**last) else { return false };
            (parts, rest) = (others, before);
        }
        for part in parts {
            if let Part::Literal(text) = part {
                let Some((_, after)) = rest.split_once(&**text) else { return false };
                rest = after;
            }
        }
        is_name(name)
    }

    /// The channel's name for a record.
    ///
    /// # Errors
    /// What the record lacks, or that the result is not a valid name.
    pub(crate) fn name(
        &self,
        key: Option<&str>,
        headers: &dyn Headers,
        json: Option<&str>,
    ) -> Result<String, Bad> {
        let mut name = String::new();
        for part in &self.0 {
            let text = match part {
                Part::Literal(text) => Cow::Borrowed(text.as_str()),
                Part::Key => Cow::Borrowed(key.ok_or(Bad::NoKey)?),
                Part::Header(header) => {
                    let value = headers.get(header).ok_or(Bad::NoHeader)?;
                    Cow::Borrowed(std::str::from_utf8(value).map_err(|_| Bad::NoHeader)?)
                }
                Part::Json(pointer) => json.and_then(|json| pointer.scalar(json)).ok_or(Bad::NoField)?,
            };
            name.push_str(&text);
        }
        if is_name(&name) { Ok(name) } else { Err(Bad::NoChannel) }
    }
}

const NAME_RULE: &str = "must be 1 to 255 bytes without control characters";

fn is_name(name: &str) -> bool {
    (1..=MAX_CHANNEL_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn part(name: &str) -> Option<Part> {
    if name == "key" {
        return Some(Part::Key);
    }
    if let Some(header) = name.strip_prefix("header:") {
        return (!header.is_empty()).then(|| Part::Header(header.to_owned()));
    }
    Pointer::parse(name.strip_prefix("json:")?).map(Part::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(template: &str, key: Option<&str>, json: &str) -> Result<String, Bad> {
        let headers = vec![("region".to_owned(), b"eu".to_vec()), ("raw".to_owned(), vec![0xff])];
        Template::parse(template).unwrap().name(key, &headers, Some(json))
    }

    #[test]
    fn braces_are_replaced_from_the_record() {
        assert_eq!(name("p:{key}", Some("k1"), "{}").unwrap(), "p:k1");
        assert_eq!(name("{header:region}-{json:/a/b}", None, r#"{"a":{"b":7}}"#).unwrap(), "eu-7");
        assert_eq!(Template::parse("dashboard").unwrap().fixed(), Some("dashboard"));
    }

    #[test]
    fn a_name_shows_whether_a_template_could_make_it() {
        for (template, name, want) in [
            ("px:{header:region}", "px:eu", true),
            ("px:{header:region}", "px:", true),
            ("px:{header:region}", "py:eu", false),
            ("px:{key}:{json:/a}:z", "px:a:b:z", true),
            ("px:{key}:{json:/a}:z", "px:ab:z", false),
            ("px:{key}:z", "px:z", false),
            ("{key}", "anything", true),
            ("{key}", "", false),
            ("{key}-{key}", "a", false),
            ("fixed", "fixed", true),
            ("fixed", "fixed2", false),
        ] {
            assert_eq!(Template::parse(template).unwrap().could_make(name), want, "{template} {name}");
        }
    }

    #[test]
    fn errors_name_the_missing_part() {
        assert_eq!(name("{key}", None, "{}"), Err(Bad::NoKey));
        assert_eq!(name("{header:none}", None, "{}"), Err(Bad::NoHeader));
        assert_eq!(name("{header:raw}", None, "{}"), Err(Bad::NoHeader));
        assert_eq!(name("{json:/a}", None, "{\"a\":{}}"), Err(Bad::NoField));
        assert_eq!(name("{key}", Some(""), "{}"), Err(Bad::NoChannel));
        assert_eq!(name("{key}", Some("a\nb"), "{}"), Err(Bad::NoChannel));
        assert_eq!(name("{key}", Some(&"x".repeat(256)), "{}"), Err(Bad::NoChannel));
    }

    #[test]
    fn wrong_templates_are_refused() {
        for invalid in ["", "a{", "a}b", "{}", "{kay}", "{header:}", "{json:a}", "{json:/~3}", "a\u{7}"] {
            assert!(Template::parse(invalid).is_err(), "{invalid:?}");
        }
    }
}
