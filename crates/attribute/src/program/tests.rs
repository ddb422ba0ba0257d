//! Programs by hand, and both of their forms against each other.

use features::{
    random::{normal, stream},
    tensor::{cpu, from_vec, to_vec},
};

use super::*;
use crate::rule::Winners;

#[test]
fn neighbouring_products_are_one() {
    let values = |values: [f32; 2]| from_vec(values.to_vec(), [1, 1, 1, 2], &cpu());
    let mut program = Program::default();
    program.push(Op::Times(values([2.0, 3.0])));
    program.push(Op::Times(values([5.0, -1.0])));
    program.push(Op::Split(values([1.0, 2.0]), values([0.0, 1.0])));
    assert_eq!(program.ops.len(), 1);
    let pulled = program.pull_back(values([1.0, 10.0]).repeat_dim(0, 2));
    assert_eq!(to_vec(pulled), [10.0, -60.0, 0.0, -30.0].repeat(2));
}

#[test]
fn a_product_joins_the_transpose_before_it() {
    let values = |values: [f32; 2]| from_vec(values.to_vec(), [1, 2, 1, 1], &cpu());
    let map = LinearMap::new(from_vec(vec![1.0, -2.0, 0.5, 3.0], [2, 2, 1, 1], &cpu()), None, [1, 1], [0, 0]);
    let transpose = |program: &mut Program| program.push(Op::Transpose(map.clone(), [1, 1]));
    let mut program = Program::default();
    transpose(&mut program);
    program.push(Op::Times(values([2.0, 3.0])));
    program.push(Op::Times(values([5.0, -1.0])));
    assert_eq!(program.ops.len(), 1);
    let given = values([1.0, 10.0]).repeat_dim(0, 2);
    assert_eq!(to_vec(program.pull_back(given.clone())), [60.0, -84.0].repeat(2));
    program.push(Op::Split(values([1.0, 0.0]), values([0.0, 2.0])));
    assert_eq!(program.ops.len(), 2);
    assert_eq!(to_vec(program.pull_back(given)), [60.0, 0.0, 0.0, -168.0].repeat(2));
}

#[test]
fn a_sum_may_come_before_the_last_linear_steps() {
    let conv = LinearMap::new(from_vec(vec![1.0, -2.0, 0.5, 3.0], [2, 2, 1, 1], &cpu()), None, [1, 1], [0, 0]);
    let mut program = Program::default();
    program.push(Op::Times(from_vec(vec![1.0, 2.0, -1.0, 0.5], [2, 2, 1, 1], &cpu())));
    program.push(Op::Transpose(conv, [1, 1]));
    let cotangents = from_vec((0..8).map(|i| i as f32).collect(), [4, 2, 1, 1], &cpu());
    let each = to_vec(program.pull_back(cotangents.clone()));
    let (body, rest) = program.split();
    assert_eq!((body.ops.len(), rest.ops.len()), (1, 1));
    let pulled = body.pull_back(cotangents);
    let together = to_vec(rest.pull_back(pulled.clone().narrow(0, 0, 2) * 0.25 + pulled.narrow(0, 2, 2) * 0.75));
    for (i, got) in together.iter().enumerate() {
        assert!((got - (0.25 * each[i] + 0.75 * each[4 + i])).abs() < 1e-6, "{together:?} {each:?}");
    }
}

fn noise<const D: usize>(key: &str, shape: [usize; D]) -> Tensor<D> {
    let mut rng = stream(8, &["program", key]);
    from_vec((0..shape.iter().product()).map(|_| normal(&mut rng) as f32).collect(), shape, &cpu())
}

fn map(outputs: usize, inputs: usize, kernel: usize, stride: usize) -> LinearMap {
    let weight = noise(&format!("{outputs} {inputs} {kernel}"), [outputs, inputs, kernel, kernel]);
    LinearMap::new(weight, None, [stride; 2], [kernel / 2; 2])
}

#[test]
fn weights_that_are_laid_out_once_serve_maps_of_all_sizes() {
    // Winograd's form is for 3 x 3 kernels and maps that are not too small.
    for (map, sizes) in [(map(20, 18, 3, 1), [[8, 9], [3, 2], [12, 8]]), (map(5, 4, 1, 2), [[6, 6], [9, 7], [6, 6]])] {
        for size in sizes {
            let out = size.map(|side| (side - 1) / map.stride[0] + 1);
            let given = noise(&format!("{size:?}"), [2, map.weight.dims()[0], out[0], out[1]]);
            let pulled = |map: &LinearMap| {
                let program = program(vec![Op::Transpose(map.clone(), size)]).ready(&cpu());
                to_vec(program.pull_back(given.clone()))
            };
            let fresh = map.with(map.weight.clone(), None);
            assert_eq!(pulled(&map), pulled(&fresh), "{size:?}");
            assert!(std::sync::Arc::ptr_eq(&map.transposed(size), &map.clone().transposed(size)));
        }
    }
}

fn program(ops: Vec<Op>) -> Program {
    let mut program = Program::default();
    ops.into_iter().for_each(|op| program.push(op));
    program
}

/// Cotangents `[6, 4, 5, 6]` of two images; maps of one of 9 by 11 positions where a stride is 2.
#[test]
fn plain_maps_give_what_tensors_give() {
    let size = [5, 6];
    let times = |key: &str, channels: usize| Op::Times(noise(key, [2, channels, 5, 6]));
    let shared = || Op::Times(noise("shared", [1, 4, 5, 6]));
    let pointwise = |inputs: usize| Op::Transpose(map(4, inputs, 1, 1), size);
    let pool = Pool { kernel: 3, stride: 2, padding: 1 };
    let cell = || Op::Transpose(map(2, 3, 1, 1), size);
    let winners = || Winners::find(&pool, &noise("pooled", [2, 4, 9, 11]));
    let cases: Vec<(&str, Vec<Op>)> = vec![
        ("nothing", vec![]),
        ("product", vec![times("a", 4)]),
        ("product of all images", vec![shared()]),
        ("positive part", vec![Op::PositivePart, times("a", 4), Op::PositivePart]),
        (
            "transposes",
            vec![pointwise(3), Op::Transpose(map(3, 7, 3, 1), size), Op::Transpose(map(7, 2, 3, 2), [9, 11])],
        ),
        ("strided", vec![times("a", 4), Op::Transpose(map(4, 3, 1, 2), [9, 11]), Op::PositivePart]),
        ("wide", vec![times("a", 4), Op::Transpose(map(4, 3, 3, 1), size), times("b", 3)]),
        ("read and written", vec![times("a", 4), pointwise(3), times("b", 3), Op::PositivePart, pointwise_of(3, size)]),
        (
            "split",
            vec![
                Op::Split(noise("a", [2, 4, 5, 6]), noise("b", [2, 4, 5, 6])),
                Op::Transpose(map(8, 3, 1, 1), size),
                times("c", 3),
            ],
        ),
        ("split alone", vec![Op::Split(noise("a", [2, 4, 5, 6]), noise("b", [1, 4, 5, 6])), Op::Fold(2)]),
        (
            "residual",
            vec![
                Op::Sum(vec![program(vec![times("a", 4), pointwise(3), pointwise_of(3, size)]), program(vec![])]),
                times("b", 4),
                Op::PositivePart,
                pointwise(2),
            ],
        ),
        (
            "shared at a sum",
            vec![
                Op::Sum(vec![
                    program(vec![times("a", 4), pointwise(4), times("b", 4)]),
                    program(vec![times("c", 4)]),
                    program(vec![pointwise(4)]),
                ]),
                Op::Sum(vec![program(vec![]), program(vec![times("d", 4)])]),
            ],
        ),
        (
            "side by side",
            vec![
                Op::Concat(vec![(1, program(vec![Op::Transpose(map(1, 3, 1, 1), size)])), (3, program(vec![]))]),
                times("a", 3),
            ],
        ),
        (
            "gate",
            vec![Op::Gate(noise("a", [2, 4, 5, 6])), pointwise(3), Op::Gate(noise("b", [1, 3, 5, 6])), times("c", 3)],
        ),
        (
            "apart",
            vec![
                Op::Transpose(map(4, 2, 3, 2), [10, 12]),
                Op::Apart { grid: 2, cells: vec![program(vec![cell(), times("a", 3)]); 4], shape: [3, 5, 6] },
            ],
        ),
        ("winners", vec![Op::Route(winners()), Op::PositivePart]),
        ("average", vec![Op::Average(pool, [9, 11]), Op::Times(noise("a", [2, 4, 9, 11]))]),
        ("patches", vec![Op::Patch { kernel: [3, 3], stride: [2, 2], padding: [1, 1], size: [9, 11], channels: 2 }]),
    ];
    let cases = cases.into_iter().map(|(name, ops)| (name, ops, size));
    let mean = ("mean over positions", vec![Op::GlobalAverage(size), times("a", 4)], [1, 1]);
    for (name, ops, [rows, columns]) in cases.chain([mean]) {
        let program = program(ops);
        let given = noise("given", [6, 4, rows, columns]);
        let want = program.pull_back(given.clone());
        let got = program.clone().ready(&cpu()).pull_back(given);
        assert_eq!(got.dims(), want.dims(), "{name}");
        for (got, want) in to_vec(got).iter().zip(to_vec(want)) {
            assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0), "{name}: {got} {want}");
        }
    }
}

fn pointwise_of(outputs: usize, size: [usize; 2]) -> Op {
    Op::Transpose(map(outputs, 4, 1, 1), size)
}
