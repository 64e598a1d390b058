//! Does to the posts of a shard what must never happen to them.

use super::super::program::Sabotage;
use super::World;
use fanfare_core::hub::Post;
use std::collections::VecDeque;

impl World {
    /// Does to the posts of shard 0 what must never happen to them.
    pub(super) fn tamper(&mut self, s: usize) {
        let inbox = &self.topics.inboxes()[s];
        let side = &mut self.sides[s];
        let late: Vec<_> = side.late.drain(..).collect();
        late.into_iter().for_each(|p| inbox.push(p, true));
        if s != 0 || side.tampered || inbox.is_empty() {
            return;
        }
        let mut posts = VecDeque::new();
        match self.sabotage {
            Sabotage::LosePost => {
                inbox.take(&mut posts);
                posts.pop_front();
            }
            Sabotage::DoublePost => {
                inbox.take(&mut posts);
                if let Some(Post::Batch(batch)) = posts.front() {
                    let again = Post::Batch(batch.clone());
                    posts.push_front(again);
                }
            }
            Sabotage::ReversePosts => {
                inbox.take(&mut posts);
                let alone = posts.len() < 2;
                posts = posts.into_iter().rev().collect();
                side.tampered = !alone;
                posts.drain(..).for_each(|p| inbox.push(p, true));
                return;
            }
            Sabotage::LatePost => {
                inbox.take(&mut posts);
                side.late.extend(posts.pop_front());
            }
            _ => return,
        }
        side.tampered = true;
        posts.into_iter().for_each(|p| inbox.push(p, true));
    }
}
