//! Heads that classify each cell of a grid by itself: which of their logits belong together.
//!
//! The logits of such a head are `[n, classes, grid, grid]`, so that a logit's number is that of its class times the
//! number of cells, plus that of its cell. Of any other head the cells are one.

use features::network::{Apart, Layer, Network};

/// `network` on each cell of a grid.
pub fn apart(network: &Network, grid: usize) -> Network {
    Network::new(vec![Layer::Apart(Box::new(Apart { grid, network: network.clone() }))])
}

/// The number of the logit of `class` in `cell`, row by row, of a `grid` x `grid` grid.
pub fn logit_of(class: usize, cell: usize, grid: usize) -> usize {
    class * grid * grid + cell
}

/// What a head runs on a cell, and the number of cells.
pub(super) fn alone(head: &Network) -> (&Network, usize) {
    match head.layers.as_slice() {
        [Layer::Apart(apart)] => (&apart.network, apart.grid * apart.grid),
        _ => (head, 1),
    }
}

/// The logits that compete with logit number `logit`, one a class, and the class of `logit` among them.
pub(super) fn rivals(head: &Network, logits: &[f32], logit: usize) -> (Vec<f32>, usize) {
    let (_, cells) = alone(head);
    (logits.iter().copied().skip(logit % cells).step_by(cells).collect(), logit / cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_of_a_cell_stand_apart() {
        let logits: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let head = apart(&Network::default(), 2);
        assert_eq!(rivals(&head, &logits, logit_of(2, 1, 2)), (vec![1.0, 5.0, 9.0], 2));
        assert_eq!(rivals(&Network::default(), &logits[..3], 2), (vec![0.0, 1.0, 2.0], 2));
    }
}
