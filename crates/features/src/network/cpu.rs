//! Inference on the CPU: layers over plain maps, so that nothing is copied between them.
//!
//! A tensor owns its values, so a layer that reads one which a shortcut also needs would copy it first. Here a shortcut
//! is borrowed, and it is added while the main branch's last convolution is still in the cache. Every layer gives the
//! very numbers that it gives on tensors.

use std::borrow::Cow;

use rayon::prelude::*;

use super::convolution::{Finish, Floor, Plus, Spare};
use super::{Layer, Network, followers};
use crate::tensor::{Device, Tensor, from_vec, to_vec};

/// Values that are worth a thread of their own where each is read once.
pub(super) const LEAST_VALUES: usize = 1 << 15;

/// Maps in memory.
#[derive(Debug, Clone)]
pub struct Maps {
    /// Images, channels, rows, columns.
    pub dims: [usize; 4],
    /// All values, row-major.
    pub values: Vec<f32>,
}

impl Maps {
    /// The values of a tensor.
    pub fn of(tensor: Tensor<4>) -> Self {
        Self { dims: tensor.dims(), values: to_vec(tensor) }
    }

    /// The maps as a tensor.
    pub fn into_tensor(self, device: &Device) -> Tensor<4> {
        from_vec(self.values, self.dims, device)
    }

    fn area(&self) -> usize {
        self.dims[2] * self.dims[3]
    }
}

/// [`Network::forward`] where the input lives on the CPU.
pub(super) fn forward(network: &Network, input: Tensor<4>) -> Tensor<4> {
    let device = input.device();
    let maps = run(&network.layers, Cow::Owned(Maps::of(input)), &device, &mut Spare::default());
    maps.into_owned().into_tensor(&device)
}

/// Runs layers in order.
fn run<'a>(layers: &[Layer], input: Cow<'a, Maps>, device: &Device, spare: &mut Spare) -> Cow<'a, Maps> {
    let (mut layers, mut maps) = (layers, input);
    while let Some((first, rest)) = layers.split_first() {
        let (then, behind) = followers(rest);
        (maps, layers) = match first {
            Layer::Conv(_) | Layer::BcosConv(_) => {
                (followed(maps, spare, |maps, spare| convolved(first, maps, then, None, spare)), behind)
            }
            Layer::Sum(branches) => {
                let (floor, behind) = relu(rest);
                (followed(maps, spare, |maps, spare| sum(branches, maps, floor, device, spare)), behind)
            }
            Layer::Concat(branches) => {
                (followed(maps, spare, |maps, spare| concat(branches, maps, device, spare)), rest)
            }
            Layer::Scale(scale) => {
                let (floor, behind) = relu(rest);
                let finish = Finish { scale: Some(scale), floor, ..Finish::default() };
                (Cow::Owned(finished(owned(maps, spare), &finish)), behind)
            }
            Layer::Relu => {
                let finish = Finish { floor: Floor::Zero, ..Finish::default() };
                (Cow::Owned(finished(owned(maps, spare), &finish)), rest)
            }
            Layer::Offset(offset) => {
                let mut maps = owned(maps, spare);
                maps.values.iter_mut().for_each(|value| *value += offset);
                (Cow::Owned(maps), rest)
            }
            Layer::MaxPool(pool) => (followed(maps, spare, |maps, _| pool.max_of(maps)), rest),
            Layer::AvgPool(pool) => (followed(maps, spare, |maps, _| pool.average_of(maps)), rest),
            Layer::GlobalAvgPool | Layer::AttentionPool(_) | Layer::Apart(_) => {
                (Cow::Owned(Maps::of(first.forward(maps.into_owned().into_tensor(device)))), rest)
            }
        };
    }
    maps
}

/// What `make` gives, whose input nobody reads any more, unless it is borrowed.
fn followed(
    maps: Cow<'_, Maps>,
    spare: &mut Spare,
    make: impl FnOnce(&Maps, &mut Spare) -> Maps,
) -> Cow<'static, Maps> {
    let made = make(&maps, spare);
    give_back(maps, spare);
    Cow::Owned(made)
}

/// The maps, copied where they are borrowed.
fn owned(maps: Cow<'_, Maps>, spare: &mut Spare) -> Maps {
    match maps {
        Cow::Owned(maps) => maps,
        Cow::Borrowed(maps) => {
            let mut values = spare.take(maps.values.len());
            values.copy_from_slice(&maps.values);
            Maps { dims: maps.dims, values }
        }
    }
}

fn give_back(maps: Cow<'_, Maps>, spare: &mut Spare) {
    if let Cow::Owned(maps) = maps {
        spare.keep(maps.values);
    }
}

/// A convolution of either kind and what follows it.
fn convolved(conv: &Layer, input: &Maps, then: Finish<'_>, shortcut: Option<&Maps>, spare: &mut Spare) -> Maps {
    match conv {
        Layer::Conv(conv) => conv.on_maps(input, then, shortcut, spare),
        Layer::BcosConv(conv) => conv.on_maps(input, then, shortcut, spare),
        _ => unreachable!("the callers ask for convolutions"),
    }
}

/// Whether a ReLU comes next, and what is behind it.
fn relu(layers: &[Layer]) -> (Floor, &[Layer]) {
    match layers {
        [Layer::Relu, behind @ ..] => (Floor::Zero, behind),
        layers => (Floor::None, layers),
    }
}

/// The sum of branches, then the floor.
fn sum(branches: &[Network], input: &Maps, floor: Floor, device: &Device, spare: &mut Spare) -> Maps {
    let (main, others) = branches.split_first().expect("a sum has at least one branch");
    if let [other] = others {
        let (conv, scale, before) = match main.layers.as_slice() {
            [before @ .., conv @ (Layer::Conv(_) | Layer::BcosConv(_))] => (Some(conv), None, before),
            [before @ .., conv @ (Layer::Conv(_) | Layer::BcosConv(_)), Layer::Scale(scale)] => {
                (Some(conv), Some(scale), before)
            }
            _ => (None, None, main.layers.as_slice()),
        };
        if let Some(conv) = conv {
            let shortcut = run(&other.layers, Cow::Borrowed(input), device, spare);
            let inner = run(before, Cow::Borrowed(input), device, spare);
            let then = Finish { scale, floor, ..Finish::default() };
            let made = convolved(conv, &inner, then, Some(&shortcut), spare);
            give_back(inner, spare);
            give_back(shortcut, spare);
            return made;
        }
    }
    let mut total = run(&main.layers, Cow::Borrowed(input), device, spare).into_owned();
    for other in others {
        let other = run(&other.layers, Cow::Borrowed(input), device, spare);
        total.values.iter_mut().zip(&other.values).for_each(|(total, value)| *total += value);
        give_back(other, spare);
    }
    finished(total, &Finish { floor, ..Finish::default() })
}

/// Branches side by side along channels.
fn concat(branches: &[Network], input: &Maps, device: &Device, spare: &mut Spare) -> Maps {
    let made: Vec<Cow<'_, Maps>> =
        branches.iter().map(|branch| run(&branch.layers, Cow::Borrowed(input), device, spare)).collect();
    let [images, _, rows, columns] = made.first().expect("a concatenation has at least one branch").dims;
    let channels = made.iter().map(|maps| maps.dims[1]).sum();
    let mut values = Vec::with_capacity(images * channels * rows * columns);
    for image in 0..images {
        for maps in &made {
            let size = maps.values.len() / images;
            values.extend_from_slice(&maps.values[image * size..(image + 1) * size]);
        }
    }
    made.into_iter().for_each(|maps| give_back(maps, spare));
    Maps { dims: [images, channels, rows, columns], values }
}

/// Takes the steps of `finish` in place.
pub(super) fn finished(mut maps: Maps, finish: &Finish<'_>) -> Maps {
    let (channels, area) = (maps.dims[1], maps.area());
    let steps = finish.steps(None);
    let planes = maps.values.par_chunks_mut(area.max(1)).enumerate().with_min_len(LEAST_VALUES.div_ceil(area.max(1)));
    planes.for_each(|(plane, values)| steps.run(values, plane % channels, plane / channels * area));
    maps
}

/// `shortcut` as the last step of a convolution.
pub(super) fn plus(shortcut: Option<&Maps>) -> Option<Plus<'_>> {
    shortcut.map(|maps| Plus { values: &maps.values, channels: maps.dims[1], area: maps.area() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{BcosConv, ChannelScale, Conv, Pool};
    use crate::random::{normal, stream};
    use crate::tensor::cpu;

    fn noise<const D: usize>(key: &str, shape: [usize; D]) -> Tensor<D> {
        let mut rng = stream(4, &["cpu", key]);
        from_vec((0..shape.iter().product()).map(|_| normal(&mut rng) as f32).collect(), shape, &cpu())
    }

    fn conv(key: &str, outputs: usize, inputs: usize, kernel: usize, stride: usize) -> Layer {
        let weight = noise(key, [outputs, inputs, kernel, kernel]);
        Layer::Conv(Conv { weight: weight.into(), bias: None, stride: [stride; 2], padding: [kernel / 2; 2] })
    }

    fn bcos(key: &str, b: f32, stride: usize) -> Layer {
        Layer::BcosConv(BcosConv::new(noise(key, [8, 6, 3, 3]), b, [stride; 2], [1, 1]))
    }

    fn scale(key: &str, channels: usize) -> Layer {
        Layer::Scale(ChannelScale { scale: noise(key, [channels]), shift: Some(noise("shift", [channels])) })
    }

    /// Layer by layer on tensors.
    fn slow(layers: &[Layer], input: Tensor<4>) -> Tensor<4> {
        layers.iter().fold(input, |input, layer| match layer {
            Layer::Sum(branches) => super::super::sum(branches, input, |branch, input| slow(&branch.layers, input)),
            Layer::Concat(branches) => {
                super::super::concat(branches, input, |branch, input| slow(&branch.layers, input))
            }
            layer => layer.forward(input),
        })
    }

    fn check(name: &str, layers: Vec<Layer>) {
        let input = noise("input", [3, 6, 9, 10]);
        let want = slow(&layers, input.clone());
        let got = forward(&Network::new(layers), input);
        assert_eq!(got.dims(), want.dims(), "{name}");
        assert_eq!(to_vec(got), to_vec(want), "{name}");
    }

    #[test]
    fn every_layer_gives_what_it_gives_on_tensors() {
        let pool = |kernel, stride, padding| Pool { kernel, stride, padding };
        let branch = |layers| Network::new(layers);
        let shortcut = || branch(vec![]);
        for (name, layers) in [
            ("nothing", vec![]),
            ("plain", vec![conv("a", 8, 6, 3, 2), scale("a", 8), Layer::Relu]),
            ("scale", vec![scale("a", 6), Layer::Relu, Layer::Offset(0.5), scale("b", 6)]),
            ("pools", vec![Layer::MaxPool(pool(3, 2, 1)), Layer::AvgPool(pool(2, 2, 0))]),
            ("border", vec![Layer::AvgPool(pool(3, 1, 1)), Layer::GlobalAvgPool]),
            ("bcos", vec![bcos("a", 2.0, 1), scale("a", 8)]),
            ("bcos stride", vec![bcos("a", 2.0, 2)]),
            ("bcos linear", vec![bcos("a", 1.0, 2), Layer::Relu]),
            ("bcos odd", vec![bcos("a", 1.7, 1), scale("a", 8), Layer::Relu]),
            (
                "residual",
                vec![
                    Layer::Sum(vec![
                        branch(vec![conv("a", 7, 6, 3, 1), Layer::Relu, conv("b", 6, 7, 1, 1)]),
                        shortcut(),
                    ]),
                    Layer::Relu,
                ],
            ),
            (
                "downsampled",
                vec![Layer::Sum(vec![
                    branch(vec![conv("a", 8, 6, 3, 2), scale("a", 8)]),
                    branch(vec![conv("b", 8, 6, 1, 2), scale("b", 8)]),
                ])],
            ),
            ("bcos residual", vec![Layer::Sum(vec![branch(vec![bcos("a", 2.0, 1)]), branch(vec![bcos("b", 1.7, 1)])])]),
            ("odd residual", vec![Layer::Sum(vec![branch(vec![bcos("a", 1.7, 1)]), branch(vec![bcos("b", 2.0, 1)])])]),
            (
                "three branches",
                vec![Layer::Sum(vec![shortcut(), branch(vec![conv("a", 6, 6, 3, 1)]), shortcut()]), Layer::Relu],
            ),
            ("dense", vec![Layer::Concat(vec![shortcut(), branch(vec![conv("a", 5, 6, 3, 1)])]), Layer::Relu]),
        ] {
            check(name, layers);
        }
    }

    #[test]
    fn what_is_not_a_number_stays_visible() {
        let mut values = vec![1.0; 16];
        values[5] = f32::NAN;
        let input = from_vec(values, [1, 1, 4, 4], &cpu());
        let pool = Network::new(vec![Layer::MaxPool(Pool { kernel: 2, stride: 2, padding: 0 }), Layer::Relu]);
        let made = to_vec(forward(&pool, input));
        assert!(made[0].is_nan() && made[1..] == [1.0; 3], "{made:?}");
    }
}
