//! The blocks that were read last.

use std::{collections::VecDeque, sync::Arc};

/// Enough for a walk that goes through the outputs of a task by type.
const KEPT: usize = 64;

#[derive(Debug)]
pub(super) struct Cache<T> {
    blocks: VecDeque<(u64, Arc<T>)>,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self { blocks: VecDeque::new() }
    }
}

impl<T> Cache<T> {
    pub(super) fn get(&mut self, number: u64) -> Option<Arc<T>> {
        let at = self.blocks.iter().position(|(own, _)| *own == number)?;
        let found = self.blocks.remove(at)?;
        let block = Arc::clone(&found.1);
        self.blocks.push_front(found);
        Some(block)
    }

    pub(super) fn put(&mut self, number: u64, block: T) -> Arc<T> {
        let block = Arc::new(block);
        self.blocks.truncate(KEPT - 1);
        self.blocks.push_front((number, Arc::clone(&block)));
        block
    }
}
