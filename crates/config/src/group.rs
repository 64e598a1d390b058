//! Groups of settings: `settings!` declares a group's struct, and with it, in the same place, every key's doc, type,
//! default, unit, variable and secrecy. Loading, checking, showing and the reference page all read this one table.
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

use super::Context;
use super::error::Fault;
use super::node::{Data, Node};
use super::table::{KeyInfo, Secrecy, Setting};

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
        (Secrecy::Passwords, Data::Text(url)) => Node::text(super::engines::masked(&url)),
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

        impl $crate::group::Group for $Group {
            const HEAD: &'static str = concat!($($head, "\n"),+);
            const KEYS: &'static [$crate::table::KeyInfo] = &[
                $(
                    $crate::table::KeyInfo::new::<$ty>(
                        $section,
                        $crate::group::settings!(@name $field $($key)?),
                        concat!($($doc, "\n"),+),
                    ) $( .$attr($($arg)?) )*,
                )+
            ];

            fn read(
                from: &(impl $crate::group::Lookup + ?Sized),
                $cx: &$crate::Context,
            ) -> Result<Self, $crate::error::Fault> {
                let _ = $cx;
                let mut keys = Self::KEYS.iter();
                // Both come from the same repetition: the keys last as long as the fields.
                let mut next = || keys.next().ok_or_else(|| $crate::error::Fault::new("no such key"));
                Ok(Self {
                    $( $field: {
                        let default: Option<$ty> = $crate::group::settings!(@default $($default)?);
                        $crate::group::field(from, next()?, default)?
                    }, )+
                })
            }

            fn values(&self) -> Vec<Option<$crate::node::Node>> {
                vec![$( $crate::table::Setting::show(&self.$field) ),+]
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
        impl $crate::table::Setting for $Group {
            const FORM: $crate::table::Form = $crate::table::Form::Json;

            fn shape() -> std::borrow::Cow<'static, str> {
                $shape.into()
            }

            fn read(node: &$crate::node::Node) -> Result<Self, $crate::error::Fault> {
                let read: Self = $crate::group::read_table(node)?;
                read.checked().map_err(|fault| fault.inside("", node.line))
            }

            fn show(&self) -> Option<$crate::node::Node> {
                Some($crate::group::show_table(self))
            }

            fn fields() -> &'static [$crate::table::KeyInfo] {
                <Self as $crate::group::Group>::KEYS
            }
        }
    };
}
pub(super) use table_setting;
