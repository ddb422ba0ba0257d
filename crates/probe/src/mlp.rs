//! Training of the heads with layers per position: B-cos heads and conventional MLPs.
//!
//! They do not commute with the average pool, so they are trained on the maps, every position a row of one matrix.
//! The loss gradient is closed form. The CPU carries it back through the layers in closed form too, over plain rows;
//! other devices use burn's autodiff.

mod columns;
mod fused;
mod layers;

use features::error::Result;
use features::tensor::{Device, Tensor, cpu, from_vec, to_vec};
use rayon::prelude::*;

use crate::data::{Split, batches, one_hot, select};
use crate::loss::Loss;
use crate::spec::{Kind, ProbeSpec};
use crate::trained::{Context, LogEntry, Trained, check_progress, order};
use layers::{Layers, Mode};

const MOMENTUM: f32 = 0.9;
const WARM_UP_STEPS: usize = 100;
/// Mean norm of a map cell after scaling: B-cos logits are bounded by it.
const CELL_NORM: f64 = 16.0;

/// Trains the heads, one a thread, on the maps the split keeps; the result is in the order of `specs`.
// METHOD: SGD, momentum 0.9, no weight decay; the step size rises over 100 steps, then falls as a cosine to 0;
// features scaled to mean cell norm 16, the factor kept with the weights.
pub fn train(
    specs: &[ProbeSpec],
    train: &Split,
    context: &Context,
    after_epoch: &(dyn Fn() + Sync),
) -> Result<Vec<Trained>> {
    if specs.is_empty() {
        return Ok(Vec::new());
    }
    let maps = Maps::new(train, context);
    specs.par_iter().map(|spec| train_one(spec, &maps, context, after_epoch)).collect()
}

/// Scaled maps with positions as the middle axis, and their labels.
struct Maps {
    /// `[n, positions * channels]`.
    cells: Tensor<2>,
    /// `[n, classes]`.
    labels: Tensor<2>,
    positions: usize,
    channels: usize,
    scale: f32,
}

impl Maps {
    fn new(split: &Split, context: &Context) -> Self {
        let (n, positions, channels) = (split.maps_len(), split.positions(), split.channels);
        let maps = split.map_batch(0, n, &context.device).reshape([n, channels, positions]);
        let cells = maps.swap_dims(1, 2);
        let norms = to_vec(cells.clone().powi_scalar(2).sum_dim(2).sqrt());
        let mean = norms.iter().map(|&norm| f64::from(norm)).sum::<f64>() / norms.len().max(1) as f64;
        let scale = (CELL_NORM / mean.max(f64::MIN_POSITIVE)) as f32;
        Self {
            cells: cells.mul_scalar(scale).reshape([n, positions * channels]),
            labels: one_hot(&split.labels[..n], context.classes, &context.device),
            positions,
            channels,
            scale,
        }
    }

    fn len(&self) -> usize {
        self.labels.dims()[0]
    }

    /// Cells `[tiles * positions, channels]` and labels `[tiles, classes]` of some tiles.
    fn batch(&self, rows: &[i32], device: &Device) -> (Tensor<2>, Tensor<2>) {
        let index = select(rows, device);
        let cells = self.cells.clone().select(0, index.clone());
        (cells.reshape([rows.len() * self.positions, self.channels]), self.labels.clone().select(0, index))
    }
}

fn train_one(spec: &ProbeSpec, maps: &Maps, context: &Context, after_epoch: &(dyn Fn() + Sync)) -> Result<Trained> {
    let mut layers = Layers::new(spec, maps.channels, context);
    let steps = spec.epochs * maps.len().div_ceil(spec.batch);
    let (mut step, mut log, mut first_loss) = (0, Vec::new(), None);
    for epoch in 0..spec.epochs {
        let mut loss_sum = 0.0;
        let mut rate = 0.0;
        for rows in batches(&order(context.seed, epoch, maps.len()), spec.batch) {
            let (cells, labels) = maps.batch(rows, &context.device);
            let pass = Pass { spec, maps, classes: context.classes };
            let (loss, gradients) = pass.run(&mut layers, cells, labels, Mode::Train);
            rate = spec.learning_rate * step_factor(step, steps);
            layers.descend(gradients, rate as f32, MOMENTUM);
            let first_loss = *first_loss.get_or_insert(loss);
            check_progress(spec, epoch + 1, first_loss, loss)?;
            loss_sum += loss * rows.len() as f64;
            step += 1;
        }
        let loss = loss_sum / maps.len() as f64;
        log.push(LogEntry { epoch: epoch + 1, split: "train", metric: "batch_loss", value: loss, learning_rate: rate });
        after_epoch();
    }
    let (train_loss, gradient_norm) = final_state(spec, &mut layers, maps, context);
    let scale = match spec.head.kind() {
        Kind::Mlp => layers::InputScale::Fold(maps.scale),
        _ => layers::InputScale::Keep(maps.scale),
    };
    Ok(Trained { spec: spec.clone(), weights: layers.weights(scale), train_loss, gradient_norm, log })
}

fn step_factor(step: usize, steps: usize) -> f64 {
    let warm = WARM_UP_STEPS.min(steps * 2 / 3).max(1);
    if step < warm {
        return (step + 1) as f64 / warm as f64;
    }
    let progress = (step - warm) as f64 / (steps - warm).max(1) as f64;
    0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

/// Loss over all tiles and the norm of its gradient, with the norms as they are in evaluation.
fn final_state(spec: &ProbeSpec, layers: &mut Layers, maps: &Maps, context: &Context) -> (f64, f64) {
    let all: Vec<i32> = (0..maps.len() as i32).collect();
    let (mut loss, mut total): (f64, Vec<Vec<f64>>) = (0.0, Vec::new());
    for rows in batches(&all, spec.batch) {
        let (cells, labels) = maps.batch(rows, &context.device);
        let share = rows.len() as f64 / maps.len() as f64;
        let pass = Pass { spec, maps, classes: context.classes };
        let (value, gradients) = pass.run(layers, cells, labels, Mode::Evaluate);
        loss += value * share;
        let gradients = gradients.into_iter().map(to_vec);
        for (index, gradient) in gradients.enumerate() {
            if total.len() == index {
                total.push(vec![0.0; gradient.len()]);
            }
            total[index].iter_mut().zip(gradient).for_each(|(sum, g)| *sum += f64::from(g) * share);
        }
    }
    (loss, total.iter().flatten().map(|g| g * g).sum::<f64>().sqrt())
}

/// One forward and one backward pass over some tiles.
struct Pass<'a> {
    spec: &'a ProbeSpec,
    maps: &'a Maps,
    classes: usize,
}

impl Pass<'_> {
    /// Loss and the gradients of all parameters, in their order.
    fn run(&self, layers: &mut Layers, cells: Tensor<2>, labels: Tensor<2>, mode: Mode) -> (f64, Vec<Tensor<2>>) {
        if cells.device() == cpu() {
            self.fused(layers, cells, labels, mode)
        } else {
            self.tracked(layers, cells, labels, mode)
        }
    }

    fn fused(&self, layers: &mut Layers, cells: Tensor<2>, labels: Tensor<2>, mode: Mode) -> (f64, Vec<Tensor<2>>) {
        let ([tiles, _], device) = (labels.dims(), cells.device());
        let (positions, classes) = (self.maps.positions, self.classes);
        let plain = layers.plain();
        let (pass, values) = fused::Pass::forward(layers.kind(), &plain, to_vec(cells), mode, &device);
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

    fn tracked(&self, layers: &mut Layers, cells: Tensor<2>, labels: Tensor<2>, mode: Mode) -> (f64, Vec<Tensor<2>>) {
        let logits = pooled(layers.forward(Tensor::from_inner(cells), mode), self.maps.positions)
            .add_scalar(self.spec.offset.value(self.classes));
        let (value, gradient) = self.loss(logits.clone().inner(), labels);
        (value, layers.gradients((logits * Tensor::from_inner(gradient)).sum()))
    }

    /// Value and gradient at logits `[tiles, classes]`.
    fn loss(&self, logits: Tensor<2>, labels: Tensor<2>) -> (f64, Tensor<2>) {
        let shape @ [tiles, classes] = logits.dims();
        let (logits, labels) = (logits.reshape([tiles, 1, classes]), labels.reshape([tiles, 1, classes]));
        let loss: Loss = self.spec.loss;
        let value = f64::from(to_vec(loss.value(logits.clone(), labels.clone()))[0]);
        (value, loss.gradient(logits, labels).reshape(shape))
    }
}

/// Mean over positions: `[n * positions, classes]` to `[n, classes]`.
fn pooled(cells: Tensor<2>, positions: usize) -> Tensor<2> {
    let [rows, classes] = cells.dims();
    cells.reshape([rows / positions, positions, classes]).mean_dim(1).reshape([rows / positions, classes])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::argmax;
    use crate::data::tests::blobs;
    use crate::lower::lower;
    use crate::spec::{Head, Offset};
    use features::tensor::cpu;

    fn spec(head: Head, loss: Loss) -> ProbeSpec {
        ProbeSpec {
            head,
            loss,
            offset: Offset::LogClasses,
            bias: head.kind() == Kind::Mlp,
            learning_rate: if loss == Loss::Ce { 0.2 } else { 0.8 },
            epochs: 12,
            batch: 16,
            hidden: 8,
            seed: 1,
            tag: String::new(),
        }
    }

    fn context() -> Context {
        Context { device: cpu(), seed: 5, classes: 4 }
    }

    #[test]
    fn every_head_learns_lowers_to_its_own_forward_and_repeats_to_the_bit() {
        let (data, test) = (blobs(160, 0), blobs(80, 1));
        let specs: Vec<ProbeSpec> = [Head::Bcos1, Head::Bcos2, Head::Bcos3, Head::Mlp2, Head::Mlp3]
            .into_iter()
            .flat_map(|head| [spec(head, Loss::Ce), spec(head, Loss::Bce)])
            .collect();
        let trained = train(&specs, &data, &context(), &|| {}).unwrap();
        let again = train(&specs, &data, &context(), &|| {}).unwrap();
        for (probe, again) in trained.iter().zip(&again) {
            let spec = &probe.spec;
            assert_eq!((&probe.weights, &probe.log), (&again.weights, &again.log), "{}", spec.id());
            let network = lower(spec.head, spec.offset, &probe.weights, &cpu()).unwrap();
            let logits = network.forward(test.map_batch(0, 80, &cpu()));
            assert_eq!(logits.dims(), [80, 4, 1, 1]);
            let logits = to_vec(logits);
            let hits = logits.chunks(4).zip(&test.labels).filter(|(row, label)| argmax(row) == **label).count();
            assert!(hits >= 76, "{} {hits}", spec.id());
        }
    }

    #[test]
    fn evaluation_in_training_equals_the_lowered_network() {
        let data = blobs(40, 2);
        let maps = Maps::new(&data, &context());
        let all: Vec<i32> = (0..40).collect();
        for head in [Head::Bcos1, Head::Bcos3, Head::Mlp3] {
            let spec = spec(head, Loss::Bce);
            let mut layers = Layers::new(&spec, 6, &context());
            for _ in 0..3 {
                let (cells, labels) = maps.batch(&all, &cpu());
                let pass = Pass { spec: &spec, maps: &maps, classes: 4 };
                let (_, gradients) = pass.run(&mut layers, cells, labels, Mode::Train);
                layers.descend(gradients, 0.1, MOMENTUM);
            }
            let (cells, _) = maps.batch(&all, &cpu());
            let own = pooled(layers.forward(Tensor::from_inner(cells), Mode::Evaluate), 4).inner();
            let own = to_vec(own.add_scalar(spec.offset.value(4)));
            let scale = match head.kind() {
                Kind::Mlp => layers::InputScale::Fold(maps.scale),
                _ => layers::InputScale::Keep(maps.scale),
            };
            let network = lower(head, spec.offset, &layers.weights(scale), &cpu()).unwrap();
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
        let maps = Maps::new(&data, &context());
        let all: Vec<i32> = (0..24).collect();
        for head in [Head::Bcos1, Head::Bcos2, Head::Bcos3, Head::Mlp2, Head::Mlp3] {
            let spec = spec(head, Loss::Bce);
            let pass = Pass { spec: &spec, maps: &maps, classes: 4 };
            let (mut fused, mut tracked) = (Layers::new(&spec, 6, &context()), Layers::new(&spec, 6, &context()));
            for mode in [Mode::Train, Mode::Train, Mode::Evaluate] {
                let (cells, labels) = maps.batch(&all, &cpu());
                let (value, gradients) = pass.fused(&mut fused, cells.clone(), labels.clone(), mode);
                let (want_value, want) = pass.tracked(&mut tracked, cells, labels, mode);
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
                fused.descend(gradients, 0.5, MOMENTUM);
                tracked.descend(want, 0.5, MOMENTUM);
            }
            let scale = layers::InputScale::Keep(1.0);
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
        let maps = Maps::new(&data, &context());
        let all: Vec<i32> = (0..8).collect();
        for head in [Head::Bcos2, Head::Mlp2] {
            let spec = spec(head, Loss::Bce);
            let pass = Pass { spec: &spec, maps: &maps, classes: 4 };
            let run = |shift: f32| {
                let mut layers = Layers::new(&spec, 6, &context());
                layers.nudge(0, 3, shift);
                let (cells, labels) = maps.batch(&all, &cpu());
                pass.run(&mut layers, cells, labels, Mode::Train)
            };
            let step = 2e-2;
            let want = (run(step).0 - run(-step).0) / f64::from(2.0 * step);
            let got = f64::from(to_vec(run(0.0).1[0].clone())[3]);
            assert!((got - want).abs() < 0.03 * want.abs() + 1e-5, "{head:?} {got} {want}");
        }
    }

    #[test]
    fn the_step_size_rises_and_falls() {
        assert!((step_factor(0, 155) - 0.01).abs() < 1e-12);
        assert_eq!(step_factor(99, 155), 1.0);
        assert_eq!(step_factor(100, 155), 1.0);
        assert!(step_factor(154, 155) < 0.01);
        assert_eq!(step_factor(0, 1), 1.0);
    }
}
