//! The SQL interface common to both engines: values, rows, and statements run one after another within one unit of
//! work.
//!
//! The models (`users`, `logins`, …) are written once over [`Sql`]. Statements use `$1…` in the order of first use,
//! which both engines number alike, and only types of [`Value`]. The text must be `'static`: it is the key of the
//! caches of prepared statements.

use crate::error::{Result, StoreError};

/// A parameter or a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A type usable as a parameter.
pub(crate) trait Parameter {
    fn value(&self) -> Value;
}

impl Parameter for i64 {
    fn value(&self) -> Value {
        Value::Int(*self)
    }
}

impl Parameter for u32 {
    fn value(&self) -> Value {
        Value::Int((*self).into())
    }
}

impl Parameter for bool {
    fn value(&self) -> Value {
        Value::Int((*self).into())
    }
}

impl Parameter for f64 {
    fn value(&self) -> Value {
        Value::Real(*self)
    }
}

impl Parameter for str {
    fn value(&self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl Parameter for String {
    fn value(&self) -> Value {
        Value::Text(self.clone())
    }
}

impl Parameter for [u8] {
    fn value(&self) -> Value {
        Value::Bytes(self.to_vec())
    }
}

impl<const N: usize> Parameter for [u8; N] {
    fn value(&self) -> Value {
        Value::Bytes(self.to_vec())
    }
}

impl<T: Parameter> Parameter for Option<T> {
    fn value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Parameter::value)
    }
}

impl<T: Parameter + ?Sized> Parameter for &T {
    fn value(&self) -> Value {
        (**self).value()
    }
}

/// The parameters of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::sql::Parameter::value(&$value)),*] };
}
pub(crate) use values;

/// Rejects texts that PostgreSQL cannot store, on both engines, so that a store can move from one to the other.
pub(crate) fn storable(values: &[Value]) -> Result<()> {
    let holds_nul = values.iter().any(|value| matches!(value, Value::Text(text) if text.contains('\0')));
    if holds_nul { Err(StoreError::Invalid("a text holds U+0000")) } else { Ok(()) }
}

/// A row of a result; columns are read by their position in the statement. A column of an unexpected type (written by
/// another program) fails the unit, not the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row(pub(crate) Vec<Value>);

impl Row {
    fn wrong<T>(&self, column: usize, wanted: &str) -> Result<T> {
        let kind = match self.0.get(column) {
            None => "missing",
            Some(Value::Null) => "null",
            Some(Value::Int(_)) => "an integer",
            Some(Value::Real(_)) => "a real",
            Some(Value::Text(_)) => "a text",
            Some(Value::Bytes(_)) => "bytes of another length",
        };
        Err(StoreError::unreadable(&format!("column {column} is {kind}, not {wanted}")))
    }

    pub(crate) fn int(&self, column: usize) -> Result<i64> {
        match self.0.get(column) {
            Some(Value::Int(value)) => Ok(*value),
            _ => self.wrong(column, "an integer"),
        }
    }

    pub(crate) fn real(&self, column: usize) -> Result<f64> {
        match self.0.get(column) {
            Some(Value::Real(value)) => Ok(*value),
            _ => self.wrong(column, "a real"),
        }
    }

    pub(crate) fn text(&self, column: usize) -> Result<String> {
        match self.0.get(column) {
            Some(Value::Text(value)) => Ok(value.clone()),
            _ => self.wrong(column, "a text"),
        }
    }

    pub(crate) fn bytes<const N: usize>(&self, column: usize) -> Result<[u8; N]> {
        match self.0.get(column) {
            Some(Value::Bytes(value)) => {
                value.as_slice().try_into().or_else(|_| self.wrong(column, "bytes of the right length"))
            }
            _ => self.wrong(column, "bytes of the right length"),
        }
    }

    /// Takes bytes of any length out of the row.
    pub(crate) fn take_bytes(&mut self, column: usize) -> Result<Vec<u8>> {
        match self.0.get_mut(column) {
            Some(Value::Bytes(value)) => Ok(std::mem::take(value)),
            _ => self.wrong(column, "bytes"),
        }
    }

    /// Takes a text out of the row.
    pub(crate) fn take_text(&mut self, column: usize) -> Result<Option<String>> {
        match self.0.get_mut(column) {
            Some(Value::Text(value)) => Ok(Some(std::mem::take(value))),
            Some(Value::Null) => Ok(None),
            _ => self.wrong(column, "a text"),
        }
    }

    pub(crate) fn boolean(&self, column: usize) -> Result<bool> {
        Ok(self.int(column)? != 0)
    }

    pub(crate) fn is_null(&self, column: usize) -> bool {
        matches!(self.0.get(column), Some(Value::Null))
    }

    pub(crate) fn maybe_int(&self, column: usize) -> Result<Option<i64>> {
        if self.is_null(column) { Ok(None) } else { self.int(column).map(Some) }
    }

    pub(crate) fn maybe_text(&self, column: usize) -> Result<Option<String>> {
        if self.is_null(column) { Ok(None) } else { self.text(column).map(Some) }
    }

    pub(crate) fn maybe_bytes<const N: usize>(&self, column: usize) -> Result<Option<[u8; N]>> {
        if self.is_null(column) { Ok(None) } else { self.bytes(column).map(Some) }
    }
}

/// A statement for many rows of parameters, in each engine's form.
#[derive(Debug)]
pub(crate) struct Bulk {
    /// SQLite runs this once for each row; the parameters are the row's values.
    pub(crate) one: &'static str,
    /// PostgreSQL runs this once for all rows; the parameters are arrays, one for each column.
    pub(crate) many: &'static str,
}

/// One parameter of a [`Bulk`], for all rows.
#[derive(Debug)]
pub(crate) enum Column<'a> {
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<&'a str>>),
    Bytes(Vec<Option<&'a [u8]>>),
}

/// A [`Bulk`] with its parameters. Callers have checked the texts for U+0000.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) bulk: &'static Bulk,
    /// All of the same length.
    pub(crate) columns: Vec<Column<'a>>,
}

impl Run<'_> {
    /// Rows of parameters.
    pub(crate) fn rows(&self) -> usize {
        match self.columns.first() {
            Some(Column::Ints(values)) => values.len(),
            Some(Column::Texts(values)) => values.len(),
            Some(Column::Bytes(values)) => values.len(),
            None => 0,
        }
    }
}

/// A connection within a unit of work. An error ends the unit: the engine undoes its changes.
pub(crate) trait Sql {
    /// Runs a statement that returns rows.
    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>>;
    /// Runs a statement; returns the number of changed rows.
    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64>;

    /// Runs statements for many rows of parameters, one after another; returns the rows of each. On PostgreSQL all are
    /// sent at once. One without parameters is not run.
    fn bulk(&mut self, runs: &[Run<'_>]) -> Result<Vec<Vec<Row>>>;

    /// The first row, if any.
    fn one(&mut self, sql: &'static str, values: &[Value]) -> Result<Option<Row>> {
        Ok(self.query(sql, values)?.into_iter().next())
    }
}
