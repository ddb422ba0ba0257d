//! How much a network holds in memory, counted from shapes alone.

use super::{Layer, Network};

/// Values of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Most that live at once in a forward pass: a layer's input and output, and all that sums and concatenations wait
    /// for.
    pub peak: usize,
    /// Outputs of all layers together, and the responses of B-cos layers: what is kept for pull-backs.
    pub kept: usize,
    /// Channels, rows, columns of the output.
    pub shape: [usize; 3],
}

impl Network {
    /// What an image of `shape` `[channels, rows, columns]` takes. On the CPU convolutions have scratch memory besides,
    /// and epilogues spare some maps.
    pub fn footprint(&self, shape: [usize; 3]) -> Footprint {
        let mut found = Footprint { peak: values(shape), kept: 0, shape };
        walk(&self.layers, 0, &mut found);
        found
    }
}

fn values(shape: [usize; 3]) -> usize {
    shape.iter().product()
}

/// Runs the layers while `held` values wait elsewhere.
fn walk(layers: &[Layer], held: usize, found: &mut Footprint) {
    for layer in layers {
        let input = found.shape;
        found.shape = match layer {
            Layer::Sum(branches) => {
                // The input waits for all branches, and the total for all but the first.
                let mut total = 0;
                let mut shape = input;
                for branch in branches {
                    found.shape = input;
                    walk(&branch.layers, held + values(input) + total, found);
                    shape = found.shape;
                    total = values(shape);
                }
                shape
            }
            Layer::Concat(branches) => {
                let (mut channels, mut shape) = (0, input);
                for branch in branches {
                    found.shape = input;
                    let waiting = channels * shape[1] * shape[2];
                    walk(&branch.layers, held + values(input) + waiting, found);
                    shape = found.shape;
                    channels += shape[0];
                }
                // The outputs still stand when they are laid side by side.
                found.peak = found.peak.max(held + values(input) + 2 * channels * shape[1] * shape[2]);
                [channels, shape[1], shape[2]]
            }
            Layer::Apart(apart) => {
                let (grid, [channels, rows, columns]) = (apart.grid, input);
                let cell = apart.network.footprint([channels, rows / grid, columns / grid]);
                // All cells pass together.
                found.peak = found.peak.max(held + values(input) + grid * grid * cell.peak);
                found.kept += grid * grid * cell.kept;
                [cell.shape[0], cell.shape[1] * grid, cell.shape[2] * grid]
            }
            layer => after(layer, input),
        };
        found.kept += values(found.shape);
        if matches!(layer, Layer::BcosConv(conv) if conv.b != 1.0) {
            found.kept += values(found.shape) + found.shape[1] * found.shape[2];
        }
        found.peak = found.peak.max(held + values(input) + values(found.shape));
    }
}

/// Shape of what a layer without branches gives.
fn after(layer: &Layer, [channels, rows, columns]: [usize; 3]) -> [usize; 3] {
    let steps = |size: usize, kernel: usize, stride: usize, padding: usize| (size + 2 * padding - kernel) / stride + 1;
    let convolved = |[outputs, _, high, wide]: [usize; 4], stride: [usize; 2], padding: [usize; 2]| {
        [outputs, steps(rows, high, stride[0], padding[0]), steps(columns, wide, stride[1], padding[1])]
    };
    match layer {
        Layer::Conv(conv) => convolved(conv.weight.dims(), conv.stride, conv.padding),
        Layer::BcosConv(conv) => convolved(conv.weight().dims(), conv.stride, conv.padding),
        Layer::MaxPool(pool) | Layer::AvgPool(pool) => {
            let size = |size| steps(size, pool.kernel, pool.stride, pool.padding);
            [channels, size(rows), size(columns)]
        }
        Layer::GlobalAvgPool => [channels, 1, 1],
        Layer::AttentionPool(pool) => [pool.output.weight.dims()[0], 1, 1],
        Layer::Scale(_) | Layer::Relu | Layer::Offset(_) | Layer::Sum(_) | Layer::Concat(_) | Layer::Apart(_) => {
            [channels, rows, columns]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Apart, BcosConv, Conv, Pool};
    use crate::tensor::{Tensor, cpu};

    fn conv(outputs: usize, inputs: usize, kernel: usize, stride: usize) -> Layer {
        let weight = Tensor::zeros([outputs, inputs, kernel, kernel], &cpu()).into();
        Layer::Conv(Conv { weight, bias: None, stride: [stride; 2], padding: [kernel / 2; 2] })
    }

    #[test]
    fn a_chain_holds_two_neighbours() {
        let network = Network::new(vec![conv(8, 3, 3, 2), Layer::Relu, conv(2, 8, 1, 1), Layer::GlobalAvgPool]);
        let found = network.footprint([3, 8, 8]);
        assert_eq!(found.shape, [2, 1, 1]);
        assert_eq!(found.peak, 3 * 64 + 8 * 16);
        assert_eq!(found.kept, 8 * 16 + 8 * 16 + 2 * 16 + 2);
    }

    #[test]
    fn a_bcos_layer_keeps_its_response_and_norms_too() {
        let layer = |b| Layer::BcosConv(BcosConv::new(Tensor::ones([8, 6, 1, 1], &cpu()), b, [1; 2], [0; 2]));
        let kept = |b| Network::new(vec![layer(b)]).footprint([6, 4, 5]).kept;
        assert_eq!((kept(1.0), kept(2.0), kept(1.5)), (8 * 20, 17 * 20, 17 * 20));
    }

    #[test]
    fn branches_hold_their_input_and_what_is_done() {
        let branches =
            || vec![Network::new(vec![conv(6, 2, 3, 1), conv(4, 6, 1, 1)]), Network::new(vec![conv(4, 2, 1, 1)])];
        let sum = Network::new(vec![Layer::Sum(branches())]).footprint([2, 4, 4]);
        assert_eq!(sum.shape, [4, 4, 4]);
        // The main branch's second convolution: the shortcut's input, its own input and output.
        assert_eq!(sum.peak, 16 * (2 + 6 + 4));
        let side = Network::new(vec![Layer::Concat(branches())]).footprint([2, 4, 4]);
        assert_eq!(side.shape, [8, 4, 4]);
        assert_eq!(side.kept, 16 * (6 + 4 + 4 + 8));
        assert_eq!(side.peak, 16 * (2 + 8 + 8));
    }

    #[test]
    fn cells_of_a_grid_take_what_each_takes_alone() {
        let network = Network::new(vec![conv(4, 2, 3, 2), Layer::Relu]);
        let cell = network.footprint([2, 4, 6]);
        let apart = Network::new(vec![Layer::Apart(Box::new(Apart { grid: 2, network }))]).footprint([2, 8, 12]);
        assert_eq!(apart.shape, [4, 4, 6]);
        assert_eq!((apart.peak, apart.kept), (2 * 8 * 12 + 4 * cell.peak, 4 * cell.kept + 4 * 4 * 6));
    }

    #[test]
    fn shapes_are_those_of_a_pass() {
        let pool = Pool { kernel: 3, stride: 2, padding: 1 };
        let network =
            Network::new(vec![conv(5, 3, 7, 2), Layer::MaxPool(pool), Layer::Concat(vec![Network::default(); 2])]);
        let made = network.forward(Tensor::zeros([1, 3, 31, 18], &cpu())).dims();
        let found = network.footprint([3, 31, 18]);
        assert_eq!(found.shape[..], made[1..]);
    }
}
