//! Sizes of pages of a list.

/// Items of a page when the caller gives no limit.
pub const PAGE_ITEMS: usize = 50;
/// The most items of a page.
pub const MAX_PAGE_ITEMS: usize = 100;

/// Items of a page for the limit a caller gave; a limit above [`MAX_PAGE_ITEMS`] is clamped to it.
pub fn page_items(limit: Option<usize>) -> usize {
    limit.map_or(PAGE_ITEMS, |limit| limit.min(MAX_PAGE_ITEMS))
}
