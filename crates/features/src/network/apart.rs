//! A network that sees each cell of a grid by itself.

use super::Network;
use crate::tensor::Tensor;

/// `network` on each cell of a grid, as if the cell were all there is; what it makes of them lies in the same grid.
///
/// Nothing crosses a border between cells: convolutions pad each of them with zeros.
#[derive(Debug, Clone)]
pub struct Apart {
    /// Cells on a side.
    pub grid: usize,
    /// What runs on each.
    pub network: Network,
}

impl Apart {
    /// `[n, c, grid * rows, grid * columns]` to what the network makes of `[n, c, rows, columns]`, laid together.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [images, ..] = input.dims();
        let made = self.network.forward(Tensor::cat(cells(&input, self.grid), 0));
        let cells = (0..self.grid * self.grid).map(|cell| made.clone().narrow(0, cell * images, images));
        together(cells.collect(), self.grid)
    }
}

/// The cells of maps, row by row of the grid, each `[n, c, rows, columns]`.
///
/// Panics when the maps cannot be cut into equal cells.
pub fn cells(maps: &Tensor<4>, grid: usize) -> Vec<Tensor<4>> {
    let [_, _, rows, columns] = maps.dims();
    assert!(rows % grid == 0 && columns % grid == 0, "maps of {rows} x {columns} are no {grid} x {grid} grid");
    let (high, wide) = (rows / grid, columns / grid);
    let cell = |cell: usize| maps.clone().narrow(2, cell / grid * high, high).narrow(3, cell % grid * wide, wide);
    (0..grid * grid).map(cell).collect()
}

/// Maps that have these [`cells`].
pub fn together(cells: Vec<Tensor<4>>, grid: usize) -> Tensor<4> {
    let rows = cells.chunks(grid).map(|row| Tensor::cat(row.to_vec(), 3));
    Tensor::cat(rows.collect(), 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Conv, Layer};
    use crate::random::{normal, stream};
    use crate::tensor::{cpu, from_vec, to_vec};

    fn noise(key: &str, shape: [usize; 4]) -> Tensor<4> {
        let mut rng = stream(6, &["apart", key]);
        from_vec((0..shape.iter().product()).map(|_| normal(&mut rng) as f32).collect(), shape, &cpu())
    }

    #[test]
    fn cells_lie_together_as_they_were() {
        let maps = from_vec((0..2 * 3 * 6 * 9).map(|i| i as f32).collect(), [2, 3, 6, 9], &cpu());
        let cut = cells(&maps, 3);
        assert_eq!((cut.len(), cut[0].dims()), (9, [2, 3, 2, 3]));
        // Row 1, column 2 of the grid begins at row 2, column 6 of the map.
        assert_eq!(to_vec(cut[5].clone())[0], (2 * 9 + 6) as f32);
        assert_eq!(to_vec(together(cut, 3)), to_vec(maps));
        assert!(std::panic::catch_unwind(|| cells(&noise("odd", [1, 1, 4, 6]), 3)).is_err());
    }

    #[test]
    fn each_cell_gives_what_it_gives_alone() {
        let conv = Conv { weight: noise("weight", [5, 3, 3, 3]).into(), bias: None, stride: [2, 2], padding: [1, 1] };
        let network = Network::new(vec![Layer::Conv(conv), Layer::Relu]);
        let input = noise("input", [2, 3, 8, 12]);
        let apart = Network::new(vec![Layer::Apart(Box::new(Apart { grid: 2, network: network.clone() }))]);
        let made = apart.forward(input.clone());
        assert_eq!(made.dims(), [2, 5, 4, 6]);
        for (cell, alone) in cells(&made, 2).into_iter().zip(cells(&input, 2)) {
            assert_eq!(to_vec(cell), to_vec(network.forward(alone)));
        }
        assert_ne!(to_vec(made), to_vec(network.forward(input)));
    }
}
