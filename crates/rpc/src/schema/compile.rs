//! Compilation of a JSON Schema to a [`Shape`].

use super::{MAX_BYTES, OPAQUE, SESSION_CODE, STRICT, SchemaError};
use serde_json::{Map, Value};

/// The compiled schema of a value.
#[derive(Debug, PartialEq)]
pub(crate) struct Shape {
    pub nullable: bool,
    pub kind: Kind,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Kind {
    Any,
    Boolean,
    Integer {
        min: i128,
        max: i128,
    },
    Number {
        min: f64,
        max: f64,
    },
    /// Bounds in characters, then in bytes; `one_of` is empty for any text.
    Text {
        min: usize,
        max: usize,
        max_bytes: usize,
        session_code: bool,
        one_of: Vec<String>,
    },
    Array {
        items: Box<Shape>,
        min: usize,
        max: usize,
    },
    Tuple(Vec<Shape>),
    /// `rest` is the shape of unlisted members, if they are allowed.
    Object {
        fields: Vec<Field>,
        rest: Option<Box<Shape>>,
    },
    /// Any one of several; never empty.
    Either(Vec<Shape>),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Field {
    pub name: String,
    pub shape: Shape,
    pub required: bool,
    /// Not interpreted: see [`OPAQUE`].
    pub opaque: bool,
}

/// Maximum members of one object: the check marks those it saw in the bits of a `u64`.
const MAX_FIELDS: usize = 64;

/// Keywords that are documentation only.
const DOCUMENTATION: &[&str] =
    &["title", "description", "default", "examples", "$schema", "deprecated", "writeOnly", "readOnly"];

impl Shape {
    /// Compiles a schema; `at` names it in errors.
    pub(crate) fn compile(schema: &Value, at: &str) -> Result<Self, SchemaError> {
        let fail = |why: String| Err(SchemaError { at: at.to_owned(), why });
        let members = match schema {
            Value::Bool(true) => return Ok(Self { nullable: false, kind: Kind::Any }),
            Value::Object(members) => members,
            _ => return fail("is no schema that a value can fit".into()),
        };
        known_keywords(members, at)?;
        if let Some(options) = members.get("oneOf").or(members.get("anyOf")).and_then(Value::as_array) {
            return either(options, at);
        }
        let (types, nullable) = types(members, at)?;
        let one_of = choices(members, at)?;
        let kind = match types.as_slice() {
            _ if !one_of.is_empty() => text(members, one_of),
            [] => Kind::Any,
            ["string"] => text(members, vec![]),
            ["boolean"] => Kind::Boolean,
            ["integer"] => integer(members),
            ["number"] => Kind::Number {
                min: members.get("minimum").and_then(Value::as_f64).unwrap_or(f64::MIN),
                max: members.get("maximum").and_then(Value::as_f64).unwrap_or(f64::MAX),
            },
            ["array"] => array(members, at)?,
            ["object"] => object(members, at)?,
            other => return fail(format!("has the types {other:?}, which are not supported together")),
        };
        Ok(Self { nullable, kind })
    }
}

fn known_keywords(members: &Map<String, Value>, at: &str) -> Result<(), SchemaError> {
    const ENFORCED: &[&str] = &[
        "type",
        "enum",
        "const",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "oneOf",
        "anyOf",
        MAX_BYTES,
        OPAQUE,
        STRICT,
    ];
    for (keyword, value) in members {
        let known_format = keyword == "format"
            && value
                .as_str()
                .is_some_and(|f| f == SESSION_CODE || f == "double" || f == "float" || bounds(f).is_some());
        if !known_format
            && !ENFORCED.contains(&keyword.as_str())
            && !DOCUMENTATION.contains(&keyword.as_str())
        {
            return Err(SchemaError { at: at.to_owned(), why: format!("{keyword} {value} is not enforced") });
        }
    }
    Ok(())
}

/// The types a schema names, and whether null is among them.
fn types<'v>(members: &'v Map<String, Value>, at: &str) -> Result<(Vec<&'v str>, bool), SchemaError> {
    let mut types: Vec<&str> = match members.get("type") {
        None => vec![],
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        Some(other) => return Err(SchemaError { at: at.to_owned(), why: format!("type {other}") }),
    };
    let nullable = types.contains(&"null");
    types.retain(|t| *t != "null");
    Ok((types, nullable))
}

/// The strings of `enum` or `const`.
fn choices(members: &Map<String, Value>, at: &str) -> Result<Vec<String>, SchemaError> {
    let listed = members.get("enum").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut choices = vec![];
    for value in listed.iter().chain(members.get("const")).filter(|v| !v.is_null()) {
        match value {
            Value::String(s) => choices.push(s.clone()),
            other => {
                return Err(SchemaError {
                    at: at.to_owned(),
                    why: format!("{other}: only strings can be chosen from"),
                });
            }
        }
    }
    Ok(choices)
}

fn size(members: &Map<String, Value>, key: &str, default: usize) -> usize {
    members.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(default)
}

fn text(members: &Map<String, Value>, one_of: Vec<String>) -> Kind {
    Kind::Text {
        min: size(members, "minLength", 0),
        max: size(members, "maxLength", usize::MAX),
        max_bytes: size(members, MAX_BYTES, usize::MAX),
        session_code: members.get("format").and_then(Value::as_str) == Some(SESSION_CODE),
        one_of,
    }
}

/// The ranges of Rust's integer types, by the formats schemars gives them.
pub(super) fn bounds(format: &str) -> Option<(i128, i128)> {
    Some(match format {
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "int" | "int64" => (i64::MIN.into(), i64::MAX.into()),
        "uint8" => (0, u8::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        "uint32" => (0, u32::MAX.into()),
        "uint" | "uint64" => (0, u64::MAX.into()),
        _ => return None,
    })
}

fn integer(members: &Map<String, Value>) -> Kind {
    let (low, high) = members
        .get("format")
        .and_then(Value::as_str)
        .and_then(bounds)
        .unwrap_or((i64::MIN.into(), i64::MAX.into()));
    let bound = |key: &str| {
        let value = members.get(key)?;
        value
            .as_i64()
            .map(i128::from)
            .or(value.as_u64().map(i128::from))
            .or(value.as_f64().map(|f| f as i128))
    };
    Kind::Integer {
        min: bound("minimum").unwrap_or(low).max(low),
        max: bound("maximum").unwrap_or(high).min(high),
    }
}

fn array(members: &Map<String, Value>, at: &str) -> Result<Kind, SchemaError> {
    if let Some(Value::Array(each)) = members.get("items") {
        let shapes = each.iter().enumerate().map(|(n, s)| Shape::compile(s, &format!("{at}[{n}]")));
        return Ok(Kind::Tuple(shapes.collect::<Result<_, _>>()?));
    }
    let items = Shape::compile(members.get("items").unwrap_or(&Value::Bool(true)), &format!("{at}[]"))?;
    Ok(Kind::Array {
        items: Box::new(items),
        min: size(members, "minItems", 0),
        max: size(members, "maxItems", usize::MAX),
    })
}

fn object(members: &Map<String, Value>, at: &str) -> Result<Kind, SchemaError> {
    let required: Vec<&str> = members
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut fields = vec![];
    for (name, schema) in members.get("properties").and_then(Value::as_object).into_iter().flatten() {
        fields.push(Field {
            name: name.clone(),
            shape: Shape::compile(schema, &format!("{at}.{name}"))?,
            required: required.contains(&name.as_str()),
            opaque: schema.get(OPAQUE) == Some(&Value::Bool(true)),
        });
    }
    if fields.len() > MAX_FIELDS {
        return Err(SchemaError { at: at.to_owned(), why: format!("has more than {MAX_FIELDS} members") });
    }
    let rest = match members.get("additionalProperties") {
        Some(Value::Bool(false)) => None,
        Some(schema) => Some(Box::new(Shape::compile(schema, &format!("{at}.*"))?)),
        None => Some(Box::new(Shape { nullable: false, kind: Kind::Any })),
    };
    Ok(Kind::Object { fields, rest })
}

/// `oneOf` and `anyOf`: choices of strings become one text, `null` an option, the rest alternatives.
fn either(options: &[Value], at: &str) -> Result<Shape, SchemaError> {
    let is_null = |v: &&Value| v.get("type").and_then(Value::as_str) == Some("null");
    let nullable = options.iter().any(|o| is_null(&o));
    let mut shapes = vec![];
    for option in options.iter().filter(|o| !is_null(o)) {
        shapes.push(Shape::compile(option, at)?);
    }
    let choices: Option<Vec<String>> = shapes
        .iter()
        .map(|s| match &s.kind {
            Kind::Text { one_of, .. } if !one_of.is_empty() && !s.nullable => Some(one_of.clone()),
            _ => None,
        })
        .collect::<Option<Vec<_>>>()
        .map(|c| c.concat());
    if let Some(one_of) = choices.filter(|c| !c.is_empty()) {
        return Ok(Shape { nullable, kind: text(&Map::new(), one_of) });
    }
    match shapes.len() {
        0 => Err(SchemaError { at: at.to_owned(), why: "offers nothing to choose from".into() }),
        1 => Ok(Shape { nullable: nullable || shapes[0].nullable, kind: shapes.swap_remove(0).kind }),
        _ => Ok(Shape { nullable, kind: Kind::Either(shapes) }),
    }
}
