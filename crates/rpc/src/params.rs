//! Conversion of params from the request to the object that a method's type is deserialized from.
//!
//! Order of the checks: depth and characters (-32700), then positional values get their names, then the schema. Of a
//! repeated param only the last value is checked and read; security methods refuse the text as malformed.

use crate::failure::Failure;
use crate::method::Positional;
use crate::schema::{Kind, Seen, Shape, Violation, elements, members, push_member};
use fanfare_dialects::jsonrpc::{MAX_INTERPRETED_DEPTH, MAX_PAYLOAD_DEPTH, facts, is_flat_and_plain};
use std::borrow::Cow;

/// The name of the param that is verified before the call.
const TOKEN: &str = "token";
/// Levels around the params: the request object.
const OUTER: usize = 1;

/// A method's params.
pub(crate) struct ParamSpec {
    shape: Shape,
    positional: Positional,
    /// Whether repeated members are refused.
    strict: bool,
    has_opaque: bool,
    /// The index of the param `token`, if it is verified before the call.
    token: Option<usize>,
}

/// Valid params: an object, and which of its members are values though they are `null`.
pub(crate) struct Bound<'a> {
    json: Cow<'a, str>,
    spec: &'a ParamSpec,
    has_token: bool,
}

impl Bound<'_> {
    /// The token to verify before the call.
    pub(crate) fn token(&self) -> Option<Cow<'_, str>> {
        if self.has_token { self.text(TOKEN) } else { None }
    }

    /// The param of this name, if it is a string.
    pub(crate) fn text(&self, wanted: &str) -> Option<Cow<'_, str>> {
        let mut found = None;
        let _ = members(&self.json, |name, value| {
            if name == wanted {
                found = fanfare_json::string(value).ok().flatten();
            }
            Ok::<(), ()>(())
        });
        found
    }

    /// Deserializes the params to their type.
    pub(crate) fn read<'p, T: serde::Deserialize<'p>>(&'p self) -> Result<T, fanfare_json::Error> {
        fanfare_json::from_str_keeping(&self.json, &|name| self.spec.keeps_null(name))
    }
}

impl ParamSpec {
    /// Creates the spec for an object's shape that lists all its members; returns an error for any other shape.
    pub(crate) fn new(
        shape: Shape,
        positional: Positional,
        strict: bool,
        takes_token: bool,
    ) -> Result<Self, &'static str> {
        let Kind::Object { fields, rest } = &shape.kind else { return Err("params must be an object") };
        if rest.is_some() {
            return Err("params must refuse unknown members: add #[serde(deny_unknown_fields)]");
        }
        let one_array = matches!(fields.as_slice(), [f] if matches!(f.shape.kind, Kind::Array { .. }));
        if positional == Positional::Rest && !one_array {
            return Err("positional params that are taken together need exactly one param, an array");
        }
        let has_opaque = fields.iter().any(|f| f.opaque);
        let token = fields.iter().position(|f| f.name == TOKEN).filter(|_| takes_token);
        if takes_token && token.is_none() {
            return Err("a method with a token to verify needs a param of that name");
        }
        Ok(Self { shape, positional, strict, has_opaque, token })
    }

    fn fields(&self) -> &[crate::schema::Field] {
        match &self.shape.kind {
            Kind::Object { fields, .. } => fields,
            _ => &[],
        }
    }

    /// Whether a member that is `null` is a value: where it is required, and where it is opaque.
    fn keeps_null(&self, name: &str) -> bool {
        self.fields().iter().any(|f| f.name == name && (f.required || f.opaque))
    }

    /// Checks the params and returns them as an object.
    pub(crate) fn bind<'a>(&'a self, sent: Option<&'a str>) -> Result<Bound<'a>, Failure> {
        let (json, seen) = self.named_and_checked(sent)?;
        Ok(Bound { json, spec: self, has_token: self.token.is_some_and(|at| seen & 1 << at != 0) })
    }

    /// The object, and a bit for each param that is present.
    fn named_and_checked<'a>(&self, sent: Option<&'a str>) -> Result<(Cow<'a, str>, u64), Failure> {
        let sent = sent.unwrap_or("{}");
        match self.check(sent) {
            Ok((named, seen)) if !seen.repeats => Ok((named, seen.params)),
            Ok(_) if self.strict => Err(Failure::Parse),
            Err(failure) if self.strict => Err(failure),
            // The mismatch may be in an earlier value that the last one replaces.
            checked => match self.last_ones(sent) {
                Some(last) => {
                    let (_, seen) = self.check(&last)?;
                    Ok((Cow::Owned(last), seen.params))
                }
                None => checked.map(|(named, seen)| (named, seen.params)),
            },
        }
    }

    /// Checks params as they were sent, including each value of a repeated param.
    fn check<'a>(&self, sent: &'a str) -> Result<(Cow<'a, str>, Seen), Failure> {
        if !is_flat_and_plain(sent, OUTER) {
            self.judge_text(sent)?;
        }
        let named = if sent.starts_with('[') { Cow::Owned(self.named(sent)?) } else { Cow::Borrowed(sent) };
        let seen = self.shape.check_params(&named)?;
        Ok((named, seen))
    }

    /// The object with the last value of each param, if one is repeated.
    fn last_ones(&self, object: &str) -> Option<String> {
        let fields = self.fields();
        let mut last = vec![None; fields.len()];
        let (mut out, mut repeats) = (String::with_capacity(object.len()), false);
        let all = members(object, |name, value| {
            match fields.iter().position(|f| f.name == *name) {
                Some(at) => repeats |= last[at].replace(value).is_some(),
                None => push_member(&mut out, &name, value),
            }
            Ok::<(), ()>(())
        });
        for (field, value) in fields.iter().zip(last) {
            if let Some(value) = value {
                push_member(&mut out, &field.name, value);
            }
        }
        out.push('}');
        (repeats && all == Ok(true)).then_some(out)
    }

    /// Depth and characters of all but opaque params; depth alone of those.
    fn judge_text(&self, sent: &str) -> Result<(), Failure> {
        let whole = facts(sent);
        if !whole.lone_surrogate && whole.depth + OUTER <= MAX_INTERPRETED_DEPTH {
            return Ok(());
        }
        if !self.has_opaque {
            return Err(Failure::Parse);
        }
        let judge = |opaque: bool, value: &str| {
            let facts = facts(value);
            let fits = if opaque {
                facts.depth <= MAX_PAYLOAD_DEPTH
            } else {
                !facts.lone_surrogate && facts.depth + OUTER < MAX_INTERPRETED_DEPTH
            };
            if fits { Ok(()) } else { Err(Failure::Parse) }
        };
        let fields = self.fields();
        if sent.starts_with('[') {
            return elements(sent, |n, value| judge(fields.get(n).is_some_and(|f| f.opaque), value));
        }
        let all =
            members(sent, |name, value| judge(fields.iter().any(|f| f.opaque && f.name == *name), value))?;
        if all { Ok(()) } else { Err(Failure::Parse) }
    }

    /// Gives positional values their names.
    fn named(&self, sent: &str) -> Result<String, Failure> {
        let fields = self.fields();
        let mut object = String::with_capacity(sent.len() + 16 * fields.len());
        match self.positional {
            Positional::Rest => {
                for field in fields {
                    push_member(&mut object, &field.name, sent);
                }
            }
            Positional::InOrder => elements(sent, |n, value| match fields.get(n) {
                Some(field) => {
                    push_member(&mut object, &field.name, value);
                    Ok(())
                }
                None => {
                    let rest = format!("is one too many: there are {} params", fields.len());
                    Err(Failure::from(Violation::new(format!("[{n}]"), "unknown", Some(value), &rest)))
                }
            })?,
        }
        if object.is_empty() {
            object.push('{');
        }
        object.push('}');
        Ok(object)
    }
}
