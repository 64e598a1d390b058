//! The known name nearest to a mistyped one.

/// Shorter names (`key`, `url`, `port`) are in several sections and point nowhere.
const TELLING_NAME: usize = 6;

/// The nearest of the known names by edit distance, or the one with the same last part; `None` when all are far.
pub(super) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |name: &str| {
        let whole = strsim::osa_distance(wrong, name);
        // A right name in the wrong section is one slip too.
        let moved = last(wrong).len() >= TELLING_NAME && last(wrong) == last(name);
        if moved { whole.min(2) } else { whole }
    };
    let room = (wrong.chars().count() / 3).clamp(1, 4);
    known
        .map(|name| (distance(name), name))
        .filter(|(d, _)| *d <= room)
        .min_by_key(|(d, _)| *d)
        .map(|(_, n)| n)
}

/// The sentence for an unknown key.
pub(super) fn unknown(near: Option<String>) -> String {
    let near = near.map(|name| format!(", did you mean `{name}`?"));
    format!("unknown key{}", near.as_deref().unwrap_or("; `fanfare config doc` lists all keys"))
}
