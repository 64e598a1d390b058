//! Checks raw JSON text, known to be valid, against a [`Shape`].

use super::compile::{Field, Kind, Shape};
use super::{SESSION_CODE, Violation};
use fanfare_core::session::SessionCode;
use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Where in the params a value stands.
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

impl Shape {
    /// Whether a value fits.
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
            Kind::Object { fields, rest } => object(json, fields, rest.as_deref(), scope, &mut Vec::new()),
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

    /// Like [`Self::check`] for params, where a member that is there twice is allowed: the names of such are added to `twice`.
    pub(crate) fn check_params<'a>(
        &self,
        json: &'a str,
        twice: &mut Vec<Cow<'a, str>>,
    ) -> Result<(), Violation> {
        match &self.kind {
            Kind::Object { fields, rest } => object(json, fields, rest.as_deref(), &Scope::Root, twice),
            _ => self.check(json, &Scope::Root),
        }
    }

    fn text(&self, json: &str, scope: &Scope<'_>) -> Result<(), Violation> {
        let Kind::Text { min, max, max_bytes, session_code, one_of } = &self.kind else { return Ok(()) };
        let Some(inner) = json.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
            return Err(scope.violation("type=string", json, "must be a string"));
        };
        let value: Cow<'_, str> = if inner.contains('\\') {
            // The text is valid JSON without halves of surrogate pairs, so it can be decoded.
            serde_json::from_str::<String>(json).map(Cow::Owned).unwrap_or_default()
        } else {
            Cow::Borrowed(inner)
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
    let digits = json.strip_prefix('-').unwrap_or(json);
    let negative = digits.len() != json.len();
    // "-0" is a float to the deserializer, as it is to JavaScript.
    if digits.is_empty() || json == "-0" || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(scope.violation("type=integer", json, "must be an integer"));
    }
    let value = json.parse().unwrap_or(if negative { i128::MIN } else { i128::MAX });
    if value < min {
        return Err(scope.violation(format!("min={min}"), json, &format!("must be at least {min}")));
    }
    if value > max {
        return Err(scope.violation(format!("max={max}"), json, &format!("must be at most {max}")));
    }
    Ok(())
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

fn object<'a>(
    json: &'a str,
    fields: &[Field],
    rest: Option<&Shape>,
    scope: &Scope<'_>,
    twice: &mut Vec<Cow<'a, str>>,
) -> Result<(), Violation> {
    if !json.starts_with('{') {
        return Err(scope.violation("type=object", json, "must be an object"));
    }
    let mut seen = 0u64;
    members(json, |name, value| {
        let Some(at) = fields.iter().position(|f| f.name == *name) else {
            let here = Scope::Member(scope, &name);
            return match rest {
                Some(shape) => shape.check(value, &here),
                None => Err(here.violation("unknown", value, "is not known")),
            };
        };
        fields[at].shape.check(value, &Scope::Member(scope, &name))?;
        if seen & (1 << at) != 0 {
            if !matches!(scope, Scope::Root) {
                return Err(Scope::Member(scope, &name).violation("unknown", value, "is there twice"));
            }
            twice.push(name);
        }
        seen |= 1 << at;
        Ok(())
    })?;
    match fields.iter().enumerate().find(|(at, f)| f.required && seen & (1 << at) == 0) {
        None => Ok(()),
        Some((_, field)) => Err(Violation::required(&Scope::Member(scope, &field.name).name())),
    }
}

/// Gives each member of an object to `each` until one is refused. What is no such object has none.
pub(crate) fn members<'a, E>(
    json: &'a str,
    each: impl FnMut(Cow<'a, str>, &'a str) -> Result<(), E>,
) -> Result<bool, E> {
    let mut refused = None;
    let ended =
        serde_json::Deserializer::from_str(json).deserialize_map(Each { each, refused: &mut refused });
    refused.map_or(Ok(ended.is_ok()), Err)
}

/// Gives each element of an array to `each` until one is refused. What is no array has none.
pub(crate) fn elements<'a, E>(
    json: &'a str,
    mut each: impl FnMut(usize, &'a str) -> Result<(), E>,
) -> Result<(), E> {
    let (mut refused, mut n) = (None, 0);
    let each = |_: Cow<'a, str>, element: &'a str| {
        n += 1;
        each(n - 1, element)
    };
    let _ = serde_json::Deserializer::from_str(json).deserialize_seq(Each { each, refused: &mut refused });
    refused.map_or(Ok(()), Err)
}

struct Each<'r, F, E> {
    each: F,
    refused: &'r mut Option<E>,
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, F: FnMut(Cow<'de, str>, &'de str) -> Result<(), E>, E> Visitor<'de> for Each<'_, F, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            if let Err(refused) = (self.each)(name, value.get()) {
                *self.refused = Some(refused);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element::<&RawValue>()? {
            if let Err(refused) = (self.each)(Cow::Borrowed(""), element.get()) {
                *self.refused = Some(refused);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

/// Appends `"name":value` to an object that is being written; used to bring params into their named form.
pub(crate) fn push_member(object: &mut String, name: &str, value: &str) {
    object.push(if object.is_empty() { '{' } else { ',' });
    let quoted = serde_json::to_string(name).unwrap_or_default();
    let _ = write!(object, "{quoted}:{value}");
}
