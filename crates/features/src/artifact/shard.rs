//! What of an artifact one process makes: the shard of its parts, and whether finished work is thrown away.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// One of `count` equal shares of the work, `index` from 0. Written `I/N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which share, below `count`.
    pub index: usize,
    /// How many shares there are, at least 1.
    pub count: usize,
}

impl Shard {
    /// The whole work: shard 0/1.
    pub const ALL: Self = Self { index: 0, count: 1 };

    /// The contiguous range of `0..items` that this shard owns; over all shards the ranges tile it.
    pub fn range(self, items: usize) -> Range<usize> {
        let bound = |index: usize| (index as u128 * items as u128 / self.count as u128) as usize;
        bound(self.index)..bound(self.index + 1)
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::ALL
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed =
            text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse::<usize>().ok()?)));
        match parsed {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            _ => Err(format!("`{text}` is not a shard: give I/N with I from 0 to N-1, like 0/4")),
        }
    }
}

/// How a process was started, as far as its artifacts are concerned. None of it changes a result.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Which parts this process makes.
    pub shard: Shard,
    /// Make parts again even where a finished result exists.
    pub force: bool,
    /// The command line, for the run record.
    pub argv: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_tile_the_items_in_order() {
        for (items, count) in [(0, 3), (1, 4), (7, 3), (20, 20), (5, 1)] {
            let all: Vec<usize> = (0..count).flat_map(|index| Shard { index, count }.range(items)).collect();
            assert_eq!(all, (0..items).collect::<Vec<_>>(), "{items} items, {count} shards");
        }
    }

    #[test]
    fn a_shard_is_read_from_its_text() {
        assert_eq!("1/4".parse(), Ok(Shard { index: 1, count: 4 }));
        for wrong in ["4/4", "0/0", "1", "-1/2", "a/b", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
