//! Checks raw JSON text, known to be valid, against a [`Shape`].

use super::compile::{Field, Kind, Shape};
use super::{SESSION_CODE, Violation};
use fanfare_core::session::SessionCode;
use std::borrow::Cow;
use std::fmt::Write as _;

/// The position of a value in the params.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'p> {
    Root,
    Member(&'p Scope<'p>, &'p str),
    Element(&'p Scope<'p>, usize),
}

impl Scope<'_> {
    fn name(&self) -> String {
        match self {
            Self::Root => "params".into(),
            Self::Member(Self::Root, name) => (*name).into(),
            Self::Member(outer, name) => format!("{}.{name}", outer.name()),
            Self::Element(outer, n) => format!("{}[{n}]", outer.name()),
        }
    }

    fn violation(&self, constraint: impl Into<String>, value: &str, rest: &str) -> Violation {
        Violation::new(self.name(), constraint, Some(value), rest)
    }
}

/// The members of an object that are present.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    /// A bit for each listed member.
    pub params: u64,
    /// Whether a listed member is repeated.
    pub repeats: bool,
}

impl Seen {
    fn has(self, at: usize) -> bool {
        self.params & 1 << at != 0
    }
}

impl Shape {
    /// Checks a value.
    pub(crate) fn check(&self, json: &str, scope: &Scope<'_>) -> Result<(), Violation> {
        if self.nullable && json == "null" {
            return Ok(());
        }
        match &self.kind {
            Kind::Any => Ok(()),
            Kind::Boolean if json == "true" || json == "false" => Ok(()),
            Kind::Boolean => Err(scope.violation("type=boolean", json, "must be true or false")),
            Kind::Integer { min, max } => integer(json, *min, *max, scope),
            Kind::Number { min, max } => number(json, *min, *max, scope),
            Kind::Text { .. } => self.text(json, scope),
            Kind::Array { items, min, max } => array(json, items, *min, *max, scope),
            Kind::Tuple(shapes) => tuple(json, shapes, scope),
            Kind::Object { fields, rest } => object(json, fields, rest.as_deref(), scope).map(|_seen| ()),
            Kind::Either(shapes) => {
                let mut first = None;
                for shape in shapes {
                    match shape.check(json, scope) {
                        Ok(()) => return Ok(()),
                        Err(violation) => first = first.or(Some(violation)),
                    }
                }
                first.map_or(Ok(()), Err)
            }
        }
    }

    /// Like [`Self::check`] for params, where a listed member may be repeated; each of its values must fit.
    pub(crate) fn check_params(&self, json: &str) -> Result<Seen, Violation> {
        match &self.kind {
            Kind::Object { fields, rest } => object(json, fields, rest.as_deref(), &Scope::Root),
            _ => self.check(json, &Scope::Root).map(|()| Seen::default()),
        }
    }

    fn text(&self, json: &str, scope: &Scope<'_>) -> Result<(), Violation> {
        let Kind::Text { min, max, max_bytes, session_code, one_of } = &self.kind else { return Ok(()) };
        // The text has no lone surrogates, so a string can be decoded.
        let Ok(Some(value)) = fanfare_json::string(json) else {
            return Err(scope.violation("type=string", json, "must be a string"));
        };
        let bounded = *min > 0 || *max < usize::MAX;
        let chars = if bounded { value.chars().count() } else { *min };
        if chars < *min {
            return Err(scope.violation(
                format!("min={min}"),
                json,
                &format!("must be at least {}", counted(*min, "character")),
            ));
        }
        let limit = if chars > *max { Some((*max, "character")) } else { None };
        if let Some((limit, unit)) = limit.or((value.len() > *max_bytes).then_some((*max_bytes, "byte"))) {
            return Err(scope.violation(
                format!("max={limit}"),
                json,
                &format!("must be at most {}", counted(limit, unit)),
            ));
        }
        if !one_of.is_empty() && !one_of.iter().any(|o| **o == *value) {
            let (words, list) = (one_of.join(" "), one_of.join(", "));
            return Err(scope.violation(format!("oneof={words}"), json, &format!("must be one of {list}")));
        }
        if *session_code && !SessionCode::has_form(&value) {
            return Err(scope.violation(SESSION_CODE, json, "must be a session code such as happy-panda-42"));
        }
        Ok(())
    }
}

fn counted(n: usize, unit: &str) -> String {
    format!("{n} {unit}{}", if n == 1 { "" } else { "s" })
}

fn integer(json: &str, min: i128, max: i128, scope: &Scope<'_>) -> Result<(), Violation> {
    let value = match fanfare_json::integer(json) {
        Some(value) => value,
        None if is_whole(json) => {
            if json.starts_with('-') {
                i128::MIN
            } else {
                i128::MAX
            }
        }
        None => return Err(scope.violation("type=integer", json, "must be an integer")),
    };
    if value < min {
        return Err(scope.violation(format!("min={min}"), json, &format!("must be at least {min}")));
    }
    if value > max {
        return Err(scope.violation(format!("max={max}"), json, &format!("must be at most {max}")));
    }
    Ok(())
}

/// Whether the digits are an integer that exceeds every bound.
fn is_whole(json: &str) -> bool {
    let digits = json.strip_prefix('-').unwrap_or(json);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn number(json: &str, min: f64, max: f64, scope: &Scope<'_>) -> Result<(), Violation> {
    if !json.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err(scope.violation("type=number", json, "must be a number"));
    }
    let value: f64 = json.parse().unwrap_or(f64::INFINITY);
    if value < min {
        return Err(scope.violation(format!("min={min}"), json, &format!("must be at least {min}")));
    }
    if value > max {
        return Err(scope.violation(format!("max={max}"), json, &format!("must be at most {max}")));
    }
    Ok(())
}

fn array(json: &str, items: &Shape, min: usize, max: usize, scope: &Scope<'_>) -> Result<(), Violation> {
    is_array(json, scope)?;
    let mut count = 0;
    elements(json, |n, element| {
        count = n + 1;
        items.check(element, &Scope::Element(scope, n))
    })?;
    if count < min {
        return Err(scope.violation(
            format!("min={min}"),
            json,
            &format!("must have at least {}", counted(min, "item")),
        ));
    }
    if count > max {
        return Err(scope.violation(
            format!("max={max}"),
            json,
            &format!("must have at most {}", counted(max, "item")),
        ));
    }
    Ok(())
}

fn is_array(json: &str, scope: &Scope<'_>) -> Result<(), Violation> {
    if json.starts_with('[') { Ok(()) } else { Err(scope.violation("type=array", json, "must be an array")) }
}

fn tuple(json: &str, shapes: &[Shape], scope: &Scope<'_>) -> Result<(), Violation> {
    is_array(json, scope)?;
    let mut count = 0;
    elements(json, |n, element| {
        count = n + 1;
        shapes.get(n).map_or(Ok(()), |s| s.check(element, &Scope::Element(scope, n)))
    })?;
    if count == shapes.len() {
        return Ok(());
    }
    let (word, size) = (if count < shapes.len() { "min" } else { "max" }, shapes.len());
    Err(scope.violation(format!("{word}={size}"), json, &format!("must have {}", counted(size, "item"))))
}

fn object(json: &str, fields: &[Field], rest: Option<&Shape>, scope: &Scope<'_>) -> Result<Seen, Violation> {
    if !json.starts_with('{') {
        return Err(scope.violation("type=object", json, "must be an object"));
    }
    let mut seen = Seen::default();
    members(json, |name, value| {
        let Some(at) = fields.iter().position(|f| f.name == *name) else {
            let here = Scope::Member(scope, &name);
            return match rest {
                Some(shape) => shape.check(value, &here),
                None => Err(here.violation("unknown", value, "is not known")),
            };
        };
        fields[at].shape.check(value, &Scope::Member(scope, &name))?;
        if seen.has(at) {
            if !matches!(scope, Scope::Root) {
                return Err(Scope::Member(scope, &name).violation("unknown", value, "is there twice"));
            }
            seen.repeats = true;
        }
        seen.params |= 1 << at;
        Ok(())
    })?;
    match fields.iter().enumerate().find(|(at, f)| f.required && !seen.has(*at)) {
        None => Ok(seen),
        Some((_, field)) => Err(Violation::required(&Scope::Member(scope, &field.name).name())),
    }
}

/// Passes each member of an object to `each` until one is refused; returns whether the text is an object.
pub(crate) fn members<'a, E>(
    json: &'a str,
    each: impl FnMut(Cow<'a, str>, &'a str) -> Result<(), E>,
) -> Result<bool, E> {
    match fanfare_json::members(json, each) {
        Ok(all) => all.map(|()| true),
        Err(_) => Ok(false),
    }
}

/// Passes each element of an array to `each` until one is refused. Other values have no elements.
pub(crate) fn elements<'a, E>(
    json: &'a str,
    mut each: impl FnMut(usize, &'a str) -> Result<(), E>,
) -> Result<(), E> {
    let mut n = 0;
    let all = fanfare_json::elements(json, |element| {
        n += 1;
        each(n - 1, element)
    });
    all.unwrap_or(Ok(()))
}

/// Appends `"name":value` to an object being written; used to convert params into their named form.
pub(crate) fn push_member(object: &mut String, name: &str, value: &str) {
    object.push(if object.is_empty() { '{' } else { ',' });
    let quoted = serde_json::to_string(name).unwrap_or_default();
    let _ = write!(object, "{quoted}:{value}");
}
