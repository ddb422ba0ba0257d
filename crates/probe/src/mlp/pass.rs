//! One forward and backward pass of a head over a batch, from cells to the gradients of its parameters.

use features::tensor::{Tensor, cpu, from_vec, to_vec};

use super::fused;
use super::layers::{Layers, Mode};
use crate::spec::ProbeSpec;

/// Loss `[1]` and gradients, one a parameter.
pub type Step = (Tensor<1>, Vec<Tensor<2>>);

/// One forward and one backward pass over some tiles.
pub struct Pass<'a> {
    /// What the head is.
    pub spec: &'a ProbeSpec,
    /// Positions of a map.
    pub positions: usize,
    /// Number of classes.
    pub classes: usize,
}

impl Pass<'_> {
    /// Loss, left on the device, and the gradients of all parameters, in their order.
    pub fn run(&self, layers: &mut Layers, cells: Tensor<2>, labels: Tensor<2>, mode: Mode) -> Step {
        if cells.device() == cpu() {
            self.fused(layers, cells, labels, mode)
        } else {
            self.tracked(layers, cells, labels, mode)
        }
    }

    fn fused(&self, layers: &mut Layers, cells: Tensor<2>, labels: Tensor<2>, mode: Mode) -> Step {
        let ([tiles, _], device) = (labels.dims(), cells.device());
        let (positions, classes) = (self.positions, self.classes);
        let plain = layers.plain();
        let (pass, values) = fused::Pass::forward(layers.shape(), &plain, to_vec(cells), mode);
        let offset = self.spec.offset.value(classes);
        let mut logits = vec![offset; tiles * classes];
        for (logits, cells) in logits.chunks_mut(classes).zip(values.chunks(positions * classes)) {
            for cell in cells.chunks(classes) {
                logits.iter_mut().zip(cell).for_each(|(z, v)| *z += v / positions as f32);
            }
        }
        let (value, gradient) = self.loss(from_vec(logits, [tiles, classes], &device), labels);
        if mode == Mode::Train {
            layers.observe(pass.moments(), tiles * positions);
        }
        let mut below = Vec::with_capacity(values.len());
        for gradient in to_vec(gradient.div_scalar(positions as f32)).chunks(classes) {
            (0..positions).for_each(|_| below.extend_from_slice(gradient));
        }
        let gradients = pass.backward(below, mode);
        (value, layers.ordered(gradients, &device))
    }

    fn tracked(&self, layers: &mut Layers, cells: Tensor<2>, labels: Tensor<2>, mode: Mode) -> Step {
        let logits = pooled(layers.forward(Tensor::from_inner(cells), mode), self.positions)
            .add_scalar(self.spec.offset.value(self.classes));
        let (value, gradient) = self.loss(logits.clone().inner(), labels);
        (value, layers.gradients((logits * Tensor::from_inner(gradient)).sum()))
    }

    /// Value and gradient at logits `[tiles, classes]`.
    fn loss(&self, logits: Tensor<2>, labels: Tensor<2>) -> (Tensor<1>, Tensor<2>) {
        let shape @ [tiles, classes] = logits.dims();
        let (logits, labels) = (logits.reshape([tiles, 1, classes]), labels.reshape([tiles, 1, classes]));
        let objective = self.spec.objective();
        let value = objective.value(logits.clone(), labels.clone());
        (value, objective.gradient(logits, labels).reshape(shape))
    }
}

/// Mean over positions: `[n * positions, classes]` to `[n, classes]`.
pub fn pooled(cells: Tensor<2>, positions: usize) -> Tensor<2> {
    let [rows, classes] = cells.dims();
    cells.reshape([rows / positions, positions, classes]).mean_dim(1).reshape([rows / positions, classes])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::blobs;
    use crate::mlp::layers::InputScale;
    use crate::mlp::maps::Maps;
    use crate::spec::{Head, Kind, Norm, Offset, Scaling};
    use crate::trained::Context;
    use crate::{Loss, lower::lower};

    fn spec(head: Head, loss: Loss) -> ProbeSpec {
        ProbeSpec {
            offset: Offset::LogClasses,
            bias: head.kind() == Kind::Mlp,
            hidden: 8,
            seed: 1,
            ..ProbeSpec::plain(head, loss)
        }
    }

    fn context() -> Context {
        Context { device: cpu(), seed: 5, classes: 4 }
    }

    fn number(loss: Tensor<1>) -> f64 {
        f64::from(to_vec(loss)[0])
    }

    #[test]
    fn evaluation_in_training_equals_the_lowered_network() {
        let data = blobs(40, 2);
        let maps = Maps::new(&data, Scaling::Common, &context()).unwrap();
        let all: Vec<i32> = (0..40).collect();
        let other = ProbeSpec { b: 1.5, ..spec(Head::Bcos(4), Loss::Bce) };
        for spec in
            [Head::Bcos(1), Head::Bcos(3), Head::Mlp(3)].map(|head| spec(head, Loss::Bce)).into_iter().chain([other])
        {
            let head = spec.head;
            let mut layers = Layers::new(&spec, 6, &context());
            for _ in 0..3 {
                let (cells, labels) = maps.batch(&all);
                let pass = Pass { spec: &spec, positions: maps.positions, classes: 4 };
                let (_, gradients) = pass.run(&mut layers, cells, labels, Mode::Train);
                layers.descend(gradients, 0.1);
            }
            let (cells, _) = maps.batch(&all);
            let own = pooled(layers.forward(Tensor::from_inner(cells), Mode::Evaluate), 4).inner();
            let own = to_vec(own.add_scalar(spec.offset.value(4)));
            let scale = match head.kind() {
                Kind::Mlp => InputScale::Fold(maps.scale),
                _ => InputScale::Keep(maps.scale),
            };
            let network = lower(&spec, &layers.weights(scale), &cpu()).unwrap();
            let lowered = to_vec(network.forward(data.map_batch(0, 40, &cpu())));
            let largest = own.iter().fold(0f32, |largest, x| largest.max(x.abs()));
            for (a, b) in own.iter().zip(&lowered) {
                assert!((a - b).abs() < 2e-5 * largest, "{head:?} {a} {b}");
            }
        }
    }

    #[test]
    fn the_closed_form_equals_autodiff() {
        let data = blobs(24, 4);
        let maps = Maps::new(&data, Scaling::Common, &context()).unwrap();
        let all: Vec<i32> = (0..24).collect();
        let heads = [Head::Bcos(1), Head::Bcos(2), Head::Bcos(3), Head::Mlp(2), Head::Mlp(3)];
        let uncentred = ProbeSpec { norm: Norm::Uncentred, ..spec(Head::Mlp(3), Loss::Focal) };
        let other = |b: f64, layers: u8| ProbeSpec { b, ..spec(Head::Bcos(layers), Loss::Bce) };
        let others = [other(1.0, 2), other(1.5, 1), other(1.5, 3), other(2.5, 2), other(3.0, 4)];
        let deep = spec(Head::Mlp(5), Loss::Ce);
        for spec in heads.map(|head| spec(head, Loss::Bce)).into_iter().chain([uncentred, deep]).chain(others) {
            let head = spec.head;
            let pass = Pass { spec: &spec, positions: maps.positions, classes: 4 };
            let (mut fused, mut tracked) = (Layers::new(&spec, 6, &context()), Layers::new(&spec, 6, &context()));
            for mode in [Mode::Train, Mode::Train, Mode::Evaluate] {
                let (cells, labels) = maps.batch(&all);
                let (value, gradients) = pass.fused(&mut fused, cells.clone(), labels.clone(), mode);
                let (want_value, want) = pass.tracked(&mut tracked, cells, labels, mode);
                let [value, want_value] = [value, want_value].map(number);
                assert!((value - want_value).abs() < 1e-5 * want_value, "{head:?} {value} {want_value}");
                assert_eq!(gradients.len(), want.len());
                for (number, (got, want)) in gradients.iter().zip(&want).enumerate() {
                    assert_eq!(got.dims(), want.dims());
                    let (got, want) = (to_vec(got.clone()), to_vec(want.clone()));
                    // The bias in front of a norm has gradient 0, so its rounding is measured against a floor.
                    let largest = want.iter().fold(1e-3f32, |largest, x| largest.max(x.abs()));
                    for (a, b) in got.iter().zip(&want) {
                        assert!((a - b).abs() < 1e-4 * largest, "{head:?} {mode:?} parameter {number}: {a} {b}");
                    }
                }
                fused.descend(gradients, 0.5);
                tracked.descend(want, 0.5);
            }
            let scale = InputScale::Keep(1.0);
            let (fused, tracked) = (fused.weights(scale), tracked.weights(scale));
            for (name, array) in &fused.0 {
                for (a, b) in array.values.iter().zip(&tracked.get(name).unwrap().values) {
                    assert!((a - b).abs() < 1e-4 * b.abs().max(0.1), "{head:?} {name} {a} {b}");
                }
            }
        }
    }

    #[test]
    fn gradients_through_a_head_equal_finite_differences() {
        let data = blobs(8, 3);
        let maps = Maps::new(&data, Scaling::Common, &context()).unwrap();
        let all: Vec<i32> = (0..8).collect();
        for head in [Head::Bcos(2), Head::Mlp(2)] {
            let spec = spec(head, Loss::Bce);
            let pass = Pass { spec: &spec, positions: maps.positions, classes: 4 };
            let run = |shift: f32| {
                let mut layers = Layers::new(&spec, 6, &context());
                layers.nudge(0, 3, shift);
                let (cells, labels) = maps.batch(&all);
                pass.run(&mut layers, cells, labels, Mode::Train)
            };
            let step = 2e-2;
            let want = (number(run(step).0) - number(run(-step).0)) / f64::from(2.0 * step);
            let got = f64::from(to_vec(run(0.0).1[0].clone())[3]);
            assert!((got - want).abs() < 0.03 * want.abs() + 1e-5, "{head:?} {got} {want}");
        }
    }
}
