//! The one table of settings: `settings!` declares a group's struct, and with it, in the same place, every key's doc,
//! type, default, unit, variable and secrecy. Loading, checking, showing and the reference page all read the table.
//!
//! A field is written
//!
//! ```text
//! /// What it does.
//! name: Type = default; attribute argument; attribute,
//! ```
//!
//! without `= default` it must be given. The attributes are the builder methods of [`KeyInfo`]. `name as "key"` is for
//! keys that are no Rust names.

use super::error::Fault;
use super::node::{Data, Node};
use super::{Context, Feature};
use std::borrow::Cow;

/// How a text (a variable's or a flag's) is read as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it stands; in double quotes, as a JSON string.
    Text,
    /// `true`, `false` or a whole number.
    Plain,
    /// Comma-separated texts, or a JSON list.
    List,
    /// JSON only.
    Json,
}

/// A type a setting can have: its rules are checked while it is read.
pub trait Setting: Sized {
    /// How a text is read as a value of this type.
    const FORM: Form;

    /// What the reference calls the type, such as ``a duration such as `30s` ``.
    fn shape() -> Cow<'static, str>;

    /// Reads a value.
    ///
    /// # Errors
    /// Why it is none of this type; never repeats a secret.
    fn read(node: &Node) -> Result<Self, Fault>;

    /// The value as it would be written; `None` when unset.
    fn show(&self) -> Option<Node>;

    /// Zero, for keys marked [`KeyInfo::positive`].
    fn is_zero(&self) -> bool {
        false
    }

    /// The fields of a table, for the reference.
    fn fields() -> &'static [KeyInfo] {
        &[]
    }

    /// The value said in another way, for a remark beside it.
    fn remark(&self) -> Option<String> {
        None
    }
}

/// Whether a value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// As it is.
    Open,
    /// Its passwords are masked.
    Passwords,
    /// Masked as a whole.
    Whole,
}

/// One key of the table.
#[derive(Debug)]
pub struct KeyInfo {
    /// The section; empty at the top level and in tables of a list.
    pub section: &'static str,
    /// The name within the section.
    pub name: &'static str,
    /// What it does: the field's doc comment.
    pub doc: &'static str,
    /// The variable of the seeds that sets it, beside `FANFARE__SECTION__KEY`.
    pub bare: Option<&'static str>,
    /// What a plain number counts.
    pub counts: Option<&'static str>,
    /// The default in words, when it depends on other settings.
    pub default_words: Option<&'static str>,
    /// The feature it belongs to, when that may not be in this release.
    pub feature: Option<Feature>,
    /// Whether it may be shown.
    pub secrecy: Secrecy,
    /// How a text is read.
    pub form: Form,
    /// What the reference calls the type.
    pub shape: fn() -> Cow<'static, str>,
    /// The fields of a table, for the reference.
    pub fields: fn() -> &'static [KeyInfo],
    /// A value said in another way, such as `64KiB` for 65536.
    pub remark: fn(&Node) -> Option<String>,
    check: fn(&KeyInfo, &Node) -> Result<(), Fault>,
    above_zero: bool,
}

impl KeyInfo {
    /// A key of type `T` without attributes.
    pub const fn new<T: Setting>(section: &'static str, name: &'static str, doc: &'static str) -> Self {
        Self {
            section,
            name,
            doc,
            bare: None,
            counts: None,
            default_words: None,
            feature: None,
            secrecy: Secrecy::Open,
            form: T::FORM,
            shape: T::shape,
            fields: T::fields,
            remark: |node| T::read(node).ok().and_then(|value| value.remark()),
            check: |info, node| info.read::<T>(node).map(drop),
            above_zero: false,
        }
    }

    /// Attribute: the variable of the seeds that sets it too.
    #[must_use]
    pub const fn env(mut self, name: &'static str) -> Self {
        self.bare = Some(name);
        self
    }

    /// Attribute: what its number counts.
    #[must_use]
    pub const fn unit(mut self, name: &'static str) -> Self {
        self.counts = Some(name);
        self
    }

    /// Attribute: the default depends on other settings, as these words say.
    #[must_use]
    pub const fn varies(mut self, words: &'static str) -> Self {
        self.default_words = Some(words);
        self
    }

    /// Attribute: it acts once that feature is there.
    #[must_use]
    pub const fn with(mut self, feature: Feature) -> Self {
        self.feature = Some(feature);
        self
    }

    /// Attribute: never shown.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secrecy = Secrecy::Whole;
        self
    }

    /// Attribute: passwords in it are never shown.
    #[must_use]
    pub const fn passwords(mut self) -> Self {
        self.secrecy = Secrecy::Passwords;
        self
    }

    /// Attribute: zero is refused.
    #[must_use]
    pub const fn positive(mut self) -> Self {
        self.above_zero = true;
        self
    }

    /// The whole key: `section.name`.
    pub fn path(&self) -> String {
        if self.section.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.section, self.name) }
    }

    /// The variable that every key has: `FANFARE__SECTION__KEY`.
    pub fn variable(&self) -> String {
        format!("FANFARE__{}", self.path().replace('.', "__").to_ascii_uppercase())
    }

    /// Whether it does nothing in this release.
    pub fn awaits(&self) -> Option<Feature> {
        self.feature.filter(|feature| !feature.released())
    }

    /// Checks a value of it.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(&self, node: &Node) -> Result<(), Fault> {
        (self.check)(self, node)
    }

    /// Reads a value of it.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn read<T: Setting>(&self, node: &Node) -> Result<T, Fault> {
        let value = T::read(node)?;
        if self.above_zero && value.is_zero() {
            return Err(Fault::new("must be above zero").inside("", node.line));
        }
        Ok(value)
    }

    /// A text (of a variable or a flag) as a value.
    ///
    /// # Errors
    /// When JSON is asked for and it is none.
    pub fn parse(&self, text: &str) -> Result<Node, Fault> {
        let json = |text| {
            let why = |e| Fault::new(format!("is written as JSON here, {}: {e}", (self.shape)()));
            Node::from_json(text).map_err(why)
        };
        match self.form {
            Form::Text if text.starts_with('"') => {
                Ok(Node::from_json(text).unwrap_or_else(|_| Node::text(text)))
            }
            Form::Text => Ok(Node::text(text)),
            Form::Plain => Ok(plain(text)),
            Form::List if text.trim_start().starts_with('[') => json(text),
            Form::List => Ok(Node::new(Data::List(items(text)))),
            Form::Json => json(text),
        }
    }
}

fn plain(text: &str) -> Node {
    match text.trim() {
        "true" => Node::new(Data::Bool(true)),
        "false" => Node::new(Data::Bool(false)),
        other => other.parse().map_or_else(|_| Node::text(text), |number| Node::new(Data::Int(number))),
    }
}

fn items(text: &str) -> Vec<Node> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Node::text).collect()
}

/// Where a group's values are looked up by name.
pub(super) trait Lookup {
    /// The value given for a key, if one was.
    fn find(&self, key: &KeyInfo) -> Option<&Node>;
}

impl Lookup for [(String, Node)] {
    fn find(&self, key: &KeyInfo) -> Option<&Node> {
        self.iter().find(|(name, _)| name == key.name).map(|(_, node)| node)
    }
}

/// A group of settings: a section of the file, or the tables of a list.
pub(super) trait Group: Sized {
    /// What the group is about.
    const HEAD: &'static str;
    /// Its keys in order.
    const KEYS: &'static [KeyInfo];

    /// Reads the group; a key that was not given takes its default.
    ///
    /// # Errors
    /// A value that is refused or one that is missing; [`Fault::at`] names the key.
    fn read(from: &(impl Lookup + ?Sized), context: &Context) -> Result<Self, Fault>;

    /// Its values in the order of [`Group::KEYS`].
    fn values(&self) -> Vec<Option<Node>>;
}

/// One field of a group, from what was given or else its default.
pub(super) fn field<T: Setting>(
    from: &(impl Lookup + ?Sized),
    key: &KeyInfo,
    default: Option<T>,
) -> Result<T, Fault> {
    let dotted = |fault: Fault, line| fault.inside(&format!(".{}", key.name), line);
    match (from.find(key), default) {
        (Some(node), _) => key.read(node).map_err(|fault| dotted(fault, node.line)),
        (None, Some(value)) => Ok(value),
        (None, None) => Err(dotted(Fault::new("is missing"), None)),
    }
}

/// A list's table, read as a group.
pub(super) fn read_table<T: Group>(node: &Node) -> Result<T, Fault> {
    let Data::Table(entries) = &node.data else {
        return Err(Fault::new(format!("is {}, not a table", node.name())).inside("", node.line));
    };
    for (name, value) in entries {
        if !T::KEYS.iter().any(|key| key.name == name) {
            let near = super::nearest::nearest(name, T::KEYS.iter().map(|key| key.name));
            let what = super::nearest::unknown(near.map(str::to_owned));
            return Err(Fault::new(what).inside(&format!(".{name}"), value.line));
        }
    }
    T::read(entries.as_slice(), &Context::default()).map_err(|fault| fault.inside("", node.line))
}

/// A group shown as a table again.
pub(super) fn show_table<T: Group>(group: &T) -> Node {
    let named = |(key, value): (&KeyInfo, Option<Node>)| value.map(|v| (key.name.to_owned(), mask(key, v)));
    Node::new(Data::Table(T::KEYS.iter().zip(group.values()).filter_map(named).collect()))
}

/// The value as it may be shown.
pub(super) fn mask(key: &KeyInfo, value: Node) -> Node {
    match (key.secrecy, value.data) {
        (Secrecy::Whole, Data::Table(entries)) => {
            Node::new(Data::Table(entries.into_iter().map(|(name, _)| (name, Node::text("***"))).collect()))
        }
        (Secrecy::Whole, _) => Node::text("***"),
        (Secrecy::Passwords, Data::Text(url)) => Node::text(super::urls::masked(&url)),
        (_, data) => Node { data, line: value.line },
    }
}

/// Declares a group of settings: see the module's head.
macro_rules! settings {
    (
        $(#[doc = $head:literal])+
        $vis:vis struct $Group:ident in $section:literal, $cx:ident: {
            $(
                $(#[doc = $doc:literal])+
                $field:ident $(as $key:literal)? : $ty:ty $(= $default:expr)? $(; $attr:ident $($arg:expr)?)* ,
            )+
        }
    ) => {
        $(#[doc = $head])+
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $Group { $( $(#[doc = $doc])+ pub $field: $ty, )+ }

        impl $crate::config::table::Group for $Group {
            const HEAD: &'static str = concat!($($head, "\n"),+);
            const KEYS: &'static [$crate::config::table::KeyInfo] = &[
                $(
                    $crate::config::table::KeyInfo::new::<$ty>(
                        $section,
                        $crate::config::table::settings!(@name $field $($key)?),
                        concat!($($doc, "\n"),+),
                    ) $( .$attr($($arg)?) )*,
                )+
            ];

            fn read(
                from: &(impl $crate::config::table::Lookup + ?Sized),
                $cx: &$crate::config::Context,
            ) -> Result<Self, $crate::config::error::Fault> {
                let _ = $cx;
                let mut keys = Self::KEYS.iter();
                // Both come from the same repetition: the keys last as long as the fields.
                let mut next = || keys.next().ok_or_else(|| $crate::config::error::Fault::new("no such key"));
                Ok(Self {
                    $( $field: {
                        let default: Option<$ty> = $crate::config::table::settings!(@default $($default)?);
                        $crate::config::table::field(from, next()?, default)?
                    }, )+
                })
            }

            fn values(&self) -> Vec<Option<$crate::config::node::Node>> {
                vec![$( $crate::config::table::Setting::show(&self.$field) ),+]
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $key:literal) => { $key };
    (@default) => { None };
    (@default $default:expr) => { Some($default) };
}
pub(super) use settings;

/// Makes a group usable as the type of a list's items.
macro_rules! table_setting {
    ($Group:ty, $shape:literal) => {
        impl $crate::config::table::Setting for $Group {
            const FORM: $crate::config::table::Form = $crate::config::table::Form::Json;

            fn shape() -> std::borrow::Cow<'static, str> {
                $shape.into()
            }

            fn read(node: &$crate::config::node::Node) -> Result<Self, $crate::config::error::Fault> {
                let read: Self = $crate::config::table::read_table(node)?;
                read.checked().map_err(|fault| fault.inside("", node.line))
            }

            fn show(&self) -> Option<$crate::config::node::Node> {
                Some($crate::config::table::show_table(self))
            }

            fn fields() -> &'static [$crate::config::table::KeyInfo] {
                <Self as $crate::config::table::Group>::KEYS
            }
        }
    };
}
pub(super) use table_setting;
