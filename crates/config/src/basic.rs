//! Settings of the basic types: flags, numbers, texts, paths, options and lists.

use super::error::Fault;
use super::node::{Data, Node};
use super::table::{Form, KeyInfo, Setting};
use std::borrow::Cow;
use std::path::PathBuf;

/// The value in quotes for a message, cut when long; line breaks are shown escaped.
pub(super) fn quote(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    format!("{cut:?}{}", if cut.len() < text.len() { "…" } else { "" })
}

/// The text of a value.
pub(super) fn text_of<'a>(node: &'a Node, shape: &str) -> Result<&'a str, Fault> {
    match &node.data {
        Data::Text(text) => Ok(text),
        _ => Err(Fault::new(format!("is {}, not {shape}", node.name()))),
    }
}

impl Setting for bool {
    const FORM: Form = Form::Plain;

    fn shape() -> Cow<'static, str> {
        "`true` or `false`".into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        match &node.data {
            Data::Bool(value) => Ok(*value),
            Data::Text(text) => Err(Fault::new(format!("{} is neither true nor false", quote(text)))),
            _ => Err(Fault::new(format!("is {}, not true or false", node.name()))),
        }
    }

    fn show(&self) -> Option<Node> {
        Some(Node::new(Data::Bool(*self)))
    }
}

/// A whole number within `0..=max`.
pub(super) fn whole(node: &Node, max: u64) -> Result<u64, Fault> {
    let wanted = if max >= i64::MAX as u64 {
        "a whole number".into()
    } else {
        format!("a whole number from 0 to {max}")
    };
    match &node.data {
        Data::Int(value) => match u64::try_from(*value) {
            Ok(value) if value <= max => Ok(value),
            _ if *value < 0 => Err(Fault::new(format!("{value} must not be negative"))),
            _ => Err(Fault::new(format!("{value} is not {wanted}"))),
        },
        Data::Text(text) => Err(Fault::new(format!("{} is not {wanted}", quote(text)))),
        _ => Err(Fault::new(format!("is {}, not {wanted}", node.name()))),
    }
}

macro_rules! whole_number {
    ($($ty:ty),+) => { $(
        impl Setting for $ty {
            const FORM: Form = Form::Plain;

            fn shape() -> Cow<'static, str> {
                "whole number".into()
            }

            fn read(node: &Node) -> Result<Self, Fault> {
                let value = whole(node, <$ty>::MAX as u64)?;
                <$ty>::try_from(value).map_err(|_| Fault::new(format!("{value} is too large")))
            }

            fn show(&self) -> Option<Node> {
                Some(Node::int(*self))
            }

            fn is_zero(&self) -> bool {
                *self == 0
            }
        }
    )+ };
}
whole_number!(u16, u32, u64, usize);

impl Setting for String {
    const FORM: Form = Form::Text;

    fn shape() -> Cow<'static, str> {
        "text".into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = text_of(node, "a text")?;
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(Fault::new("must be a text that is not empty and has no control characters"));
        }
        Ok(text.to_owned())
    }

    fn show(&self) -> Option<Node> {
        Some(Node::text(self))
    }
}

impl Setting for PathBuf {
    const FORM: Form = Form::Text;

    fn shape() -> Cow<'static, str> {
        "path".into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        String::read(node).map(Self::from)
    }

    fn show(&self) -> Option<Node> {
        Some(Node::text(self.display().to_string()))
    }
}

/// Unset when the text is empty, so that a flag can take back what the file sets.
impl<T: Setting> Setting for Option<T> {
    const FORM: Form = T::FORM;

    fn shape() -> Cow<'static, str> {
        T::shape()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        match &node.data {
            Data::Text(text) if text.is_empty() => Ok(None),
            _ => T::read(node).map(Some),
        }
    }

    fn show(&self) -> Option<Node> {
        self.as_ref().and_then(T::show)
    }

    fn is_zero(&self) -> bool {
        self.as_ref().is_some_and(T::is_zero)
    }

    fn fields() -> &'static [KeyInfo] {
        T::fields()
    }
}

impl<T: Setting> Setting for Vec<T> {
    const FORM: Form = if matches!(T::FORM, Form::Json) { Form::Json } else { Form::List };

    fn shape() -> Cow<'static, str> {
        let one = T::shape();
        // A list of words keeps them as they are.
        format!("list of {one}{}", if one.ends_with('`') { "" } else { "s" }).into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let Data::List(items) = &node.data else {
            return Err(Fault::new(format!("is {}, not a {}", node.name(), Self::shape())));
        };
        let item =
            |(i, item): (usize, &Node)| T::read(item).map_err(|f| f.inside(&format!("[{i}]"), item.line));
        items.iter().enumerate().map(item).collect()
    }

    fn show(&self) -> Option<Node> {
        Some(Node::new(Data::List(self.iter().filter_map(T::show).collect())))
    }

    fn fields() -> &'static [KeyInfo] {
        T::fields()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_their_range() {
        assert_eq!(u16::read(&Node::int(65535)).unwrap(), 65535);
        for (node, word) in [
            (Node::int(70000), "0 to 65535"),
            (Node::int(-1), "negative"),
            (Node::text("abc"), "\"abc\""),
            (Node::new(Data::Bool(true)), "true or false"),
            (Node::new(Data::Other("a fraction")), "a fraction"),
        ] {
            let fault = u16::read(&node).unwrap_err();
            assert!(fault.what.contains(word), "{word}: {}", fault.what);
        }
    }

    #[test]
    fn a_fault_in_a_list_names_the_item() {
        let list = Node::new(Data::List(vec![Node::text("a"), Node::int(5)]));
        assert_eq!(Vec::<String>::read(&list).unwrap_err().at, "[1]");
        assert!(Vec::<String>::read(&Node::int(5)).is_err());
    }
}
