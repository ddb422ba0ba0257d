//! Pull-backs by gradient rules against burn's autodiff and against the definition of explanation mode.

use features::tensor::{Device, Tensor, cpu, from_vec, to_vec};

use super::{Draw, check, join};
use crate::{
    batch::spread,
    composite::Composite,
    plan::{Entry, Plan},
    tape::Tape,
};
use features::network::{Conv, Layer, Network};

/// The gradient by autodiff of `sum(cotangents * network(input))`, each cotangent with its own copy of the image.
fn by_autodiff(build: impl Fn(&Device) -> Network, input: &Tensor<4>, cotangents: &Tensor<4>) -> Tensor<4> {
    let device = Device::autodiff(cpu());
    let rows = cotangents.dims()[0];
    let copied = spread(input.clone(), rows);
    let shape = copied.dims();
    let input = from_vec(to_vec(copied), shape, &device).require_grad();
    let output = build(&device).forward(input.clone());
    let given = from_vec(to_vec(cotangents.clone()), cotangents.dims(), &device);
    let gradients = (output * given).sum().backward();
    let gradient = input.grad(&gradients).expect("the input is tracked");
    from_vec(to_vec(gradient), shape, &cpu())
}

pub(super) fn agree(build: impl Fn(&Device) -> Network, channels: usize) {
    let network = build(&cpu());
    let mut draw = Draw::new("input", 1.0);
    for images in [1, 3] {
        let input = draw.tensor([images, channels, 11, 11], 1.0);
        let (output, tape) = Tape::record(&network, input.clone());
        check(output.clone(), network.forward(input.clone()), 0.0);
        let [_, classes, rows, columns] = output.dims();
        let cotangents = draw.tensor([images * 2, classes, rows, columns], 1.0);
        let plan = Plan::bind(&network, &Composite::Gradient, Entry::Pixels).unwrap();
        let got = tape.pull_back(&plan, cotangents.clone());
        // Rounding differs because the pull-back folds norms into weights; masks are those of the forward pass.
        check(got, by_autodiff(&build, &input, &cotangents), 1e-4);
    }
}

#[test]
fn conventional_gradient_is_autodiff() {
    agree(
        |device| {
            let mut draw = Draw::on("conventional", device);
            join(&draw.conventional(), &draw.head(6))
        },
        3,
    );
}

#[test]
fn bcos_gradient_is_autodiff() {
    for b in [2.0, 1.5, 1.0] {
        agree(
            |device| {
                let mut draw = Draw::on("aligned", device);
                join(&draw.aligned(b), &draw.aligned_head(7))
            },
            6,
        );
    }
}

#[test]
fn explanation_sums_to_the_logit_less_its_offset() {
    let mut draw = Draw::new("explanation", 0.0);
    let network = join(&draw.aligned(2.0), &draw.aligned_head(7));
    let input = draw.pixels([2, 6, 12, 12]);
    let (logits, tape) = Tape::record(&network, input.clone());
    let plan = Plan::bind(&network, &Composite::Bcos, Entry::Pixels).unwrap();
    let target = [0.0, 1.0, 0.0, 0.0].repeat(2);
    let rows = tape.pull_back(&plan, from_vec(target, [2, 4, 1, 1], &cpu()));
    let sums = (rows * input).sum_dim(3).sum_dim(2).sum_dim(1);
    check(sums, logits.narrow(1, 1, 1).add_scalar(1.5), 1e-4);
}

#[test]
fn guiding_without_relu_changes_nothing() {
    let mut draw = Draw::new("guided", 0.0);
    let aligned = draw.aligned(2.0);
    let input = draw.pixels([1, 6, 12, 12]);
    let (output, tape) = Tape::record(&aligned, input);
    let cotangents = draw.tensor(output.dims(), 1.0);
    let pull = |composite| {
        let plan = Plan::bind(&aligned, &composite, Entry::Pixels).unwrap();
        tape.pull_back(&plan, cotangents.clone())
    };
    check(pull(Composite::GuidedBackprop), pull(Composite::Gradient), 0.0);
}

#[test]
fn guiding_drops_negative_cotangents() {
    let network = Network::new(vec![Layer::Relu]);
    let (_, tape) = Tape::record(&network, from_vec(vec![1.0, 2.0, -1.0], [1, 1, 1, 3], &cpu()));
    let plan = Plan::bind(&network, &Composite::GuidedBackprop, Entry::Pixels).unwrap();
    let given = from_vec(vec![-1.0, 3.0, 5.0], [1, 1, 1, 3], &cpu());
    assert_eq!(to_vec(tape.pull_back(&plan, given)), [0.0, 3.0, 0.0]);
}

#[test]
fn the_deconvnet_looks_at_cotangents_only() {
    let network = Network::new(vec![Layer::Relu]);
    let (_, tape) = Tape::record(&network, from_vec(vec![1.0, 2.0, -1.0], [1, 1, 1, 3], &cpu()));
    let plan = Plan::bind(&network, &Composite::Deconvnet, Entry::Pixels).unwrap();
    let given = from_vec(vec![-1.0, 3.0, 5.0], [1, 1, 1, 3], &cpu());
    assert_eq!(to_vec(tape.pull_back(&plan, given)), [0.0, 3.0, 5.0]);
}

#[test]
fn guiding_stops_at_the_relu_and_leaves_the_shortcut_alone() {
    // y = relu(x) + 2 x at x = 3, cotangent -1: the ReLU passes nothing, the shortcut -2. Captum clamps the whole
    // gradient of the tensor that the ReLU reads and gives 0.
    let double = Conv::pointwise(from_vec(vec![2.0], [1, 1, 1, 1], &cpu()), None);
    let branches = vec![Network::new(vec![Layer::Relu]), Network::new(vec![Layer::Conv(double)])];
    let network = Network::new(vec![Layer::Sum(branches)]);
    let (_, tape) = Tape::record(&network, from_vec(vec![3.0], [1, 1, 1, 1], &cpu()));
    let plan = Plan::bind(&network, &Composite::GuidedBackprop, Entry::Pixels).unwrap();
    assert_eq!(to_vec(tape.pull_back(&plan, from_vec(vec![-1.0], [1, 1, 1, 1], &cpu()))), [-2.0]);
}
