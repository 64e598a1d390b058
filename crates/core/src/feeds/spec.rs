//! The records of a channel that a group of subscriptions gets.

use super::record::FeedRecord;

/// A JSON pointer and the canonical texts of the values it may point to.
pub type Pointed = (Box<str>, Box<[Box<str>]>);

/// Whether a text is a JSON pointer (RFC 6901): empty, or tokens that each begin with `/`, in which `~` is followed by `0` or `1`.
pub fn is_pointer(text: &str) -> bool {
    let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    (text.is_empty() || text.starts_with('/')) && escapes
}

/// `types` and `filter` of a subscription in one form for equal wishes: lists are sorted and without repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GroupSpec {
    /// Only records of these types.
    pub types: Option<Box<[Box<str>]>>,
    /// Only records with one of these keys.
    pub keys: Option<Box<[Box<str>]>>,
    /// Only records whose value at each JSON pointer is one of these scalars, written canonically.
    pub json: Box<[Pointed]>,
}

/// Looks into a record's value on behalf of a [`GroupSpec`]. The hub itself knows no JSON.
pub trait Lookup {
    /// Whether the value of `record`, which is number `at` of its batch, has one of `allowed` at `pointer`.
    fn is_one_of(&mut self, at: usize, record: &FeedRecord, pointer: &str, allowed: &[Box<str>]) -> bool;
}

impl GroupSpec {
    /// Whether it is all of the channel.
    pub(super) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Brings the lists into the one form.
    #[must_use]
    pub fn normal(mut self) -> Self {
        let sorted = |list: Box<[Box<str>]>| {
            let mut list = list.into_vec();
            list.sort_unstable();
            list.dedup();
            list.into_boxed_slice()
        };
        self.types = self.types.map(sorted);
        self.keys = self.keys.map(sorted);
        let mut json: Vec<_> = self.json.into_vec().into_iter().map(|(p, all)| (p, sorted(all))).collect();
        json.sort_unstable();
        self.json = json.into();
        self
    }

    /// Whether record `at` of a batch is the group's.
    pub fn includes(&self, record: &FeedRecord, at: usize, lookup: &mut dyn Lookup) -> bool {
        let has = |list: &[Box<str>], name: &str| list.binary_search_by(|x| (**x).cmp(name)).is_ok();
        let key = record.key.as_deref();
        self.types.as_ref().is_none_or(|types| has(types, &record.kind))
            && self.keys.as_ref().is_none_or(|keys| key.is_some_and(|key| has(keys, key)))
            && self.json.iter().all(|(pointer, allowed)| lookup.is_one_of(at, record, pointer, allowed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::PerKey;

    struct Never;
    impl Lookup for Never {
        fn is_one_of(&mut self, _: usize, _: &FeedRecord, pointer: &str, _: &[Box<str>]) -> bool {
            panic!("{pointer} was looked up in vain")
        }
    }

    fn list(items: &[&str]) -> Box<[Box<str>]> {
        items.iter().map(|i| Box::from(*i)).collect()
    }

    #[test]
    fn pointers_are_those_of_rfc_6901() {
        for good in ["", "/", "/a/b", "/a~0b~1", "/~01", "//", "/é"] {
            assert!(is_pointer(good), "{good}");
        }
        for bad in ["a", "a/b", "/~", "/a~", "/~2", "/a~/b", "~0", "/~~0"] {
            assert!(!is_pointer(bad), "{bad}");
        }
    }

    #[test]
    fn equal_wishes_are_one_group() {
        let a = GroupSpec { types: Some(list(&["b", "a", "b"])), ..GroupSpec::default() };
        let b = GroupSpec { types: Some(list(&["a", "b"])), ..GroupSpec::default() };
        assert_eq!(a.normal(), b.normal());
    }

    #[test]
    fn the_cheap_wishes_are_judged_first() {
        let record = FeedRecord {
            kind: "t".into(),
            key: Some("k".into()),
            topic: "x".into(),
            partition: 0,
            offset: 0,
            per_key: PerKey::default(),
            body: "".into(),
        };
        let json: Box<[_]> = Box::new([("/a".into(), list(&["1"]))]);
        for (types, keys) in [(Some(list(&["u"])), None), (None, Some(list(&["l"])))] {
            let spec = GroupSpec { types, keys, json: json.clone() };
            assert!(!spec.includes(&record, 0, &mut Never));
        }
        let spec = GroupSpec { types: Some(list(&["t"])), keys: Some(list(&["k", "l"])), json: Box::new([]) };
        assert!(spec.includes(&record, 0, &mut Never));
    }
}
