//! How the network sees a grid: whole, or with cells that are cut off from each other.
//!
//! - What: with GridPG the class of one cell may draw on all others, so that a map outside the cell may be right. In the
//!   other two settings each cell has a classification of its own. DiFull: the backbone sees every cell alone, so nothing
//!   outside can have any influence, and a faithful map is 0 there. DiPart: the backbone sees the whole grid, the head
//!   only the features of the cell, so that influence ends where the receptive field does.
//! - Source: Rao, Böhle, Schiele 2022 (CVPR), `models/settings.py` of their code. As there, the explained function reads
//!   the whole grid: class activation maps are made of the features of all cells, masks lie over all of it.
//! - Here: as there, the first and the last cell are explained.

use features::network::Network;
use serde::{Deserialize, Serialize};

use crate::explain::{Head, apart, logit_of};

/// Where a cell's classification reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// The whole grid; one classification for all cells.
    GridPg,
    /// Its own pixels.
    DiFull,
    /// Its own features.
    DiPart,
}

impl Setting {
    /// The backbone as it runs on `size` x `size` grids.
    pub fn backbone(self, network: &Network, size: usize) -> Network {
        match self {
            Self::GridPg | Self::DiPart => network.clone(),
            Self::DiFull => apart(network, size),
        }
    }

    /// A head as it runs on the features of `size` x `size` grids.
    pub fn head(self, head: &Head, size: usize) -> Head {
        match self {
            Self::GridPg => head.clone(),
            Self::DiFull | Self::DiPart => Head { network: apart(&head.network, size), ..head.clone() },
        }
    }

    /// The number of the logit of `class` for cell number `cell` of a `size` x `size` grid.
    pub fn logit(self, class: usize, cell: usize, size: usize) -> usize {
        match self {
            Self::GridPg => class,
            Self::DiFull | Self::DiPart => logit_of(class, cell, size),
        }
    }

    /// Which cells of a `size` x `size` grid are explained, where `chosen` were drawn for it.
    pub fn cells(self, size: usize, chosen: &[usize]) -> Vec<usize> {
        match self {
            Self::GridPg => chosen.to_vec(),
            Self::DiFull | Self::DiPart => vec![0, size * size - 1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_explained_where_cells_are_cut_off() {
        assert_eq!(Setting::GridPg.cells(3, &[1, 4]), [1, 4]);
        assert_eq!(Setting::DiFull.cells(3, &[1, 4]), [0, 8]);
        assert_eq!(Setting::DiPart.cells(2, &[1]), [0, 3]);
        assert_eq!(Setting::GridPg.logit(5, 2, 3), 5);
        assert_eq!(Setting::DiPart.logit(5, 2, 3), 47);
        assert_eq!(serde_json::json!([Setting::GridPg, Setting::DiFull]), serde_json::json!(["gridpg", "difull"]));
    }
}
