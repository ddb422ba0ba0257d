//! One forward pass, kept, so that any number of targets, probes and methods can be pulled back through it.
//!
//! A tape is only read: the rules come in a [`Plan`], fastened to the tape as a [`Program`], explanation modes are
//! arguments and never state, and one forward pass serves them all.

use features::{
    network::{Finish, Layer, Network, Response, cells, together},
    tensor::Tensor,
};

use crate::{
    plan::Plan,
    program::{Program, Ready},
};

/// Every layer's input, in order, and the last layer's output; of B-cos layers their responses too.
///
/// A channel scale right behind a convolution is done with it, as every plan covers both: in place of its input stands
/// its output.
#[derive(Debug, Clone)]
pub struct Tape {
    records: Vec<Record>,
    output: Tensor<4>,
}

#[derive(Debug, Clone)]
struct Record {
    input: Tensor<4>,
    /// Of a B-cos layer: what every rule of it looks at.
    response: Option<Response>,
    branches: Vec<Tape>,
}

/// What a rule may look at: the input and output of the layers it covers, and the tapes of their branches.
pub struct Seen<'tape> {
    /// `[n, ..]`, the first covered layer's input.
    pub input: &'tape Tensor<4>,
    /// `[n, ..]`, the last covered layer's output.
    pub output: &'tape Tensor<4>,
    /// What the first covered layer worked out, where it is a B-cos layer that is not linear.
    pub response: Option<&'tape Response>,
    /// One tape a branch when the layer has branches, one a cell when it runs on cells.
    pub branches: &'tape [Tape],
}

impl Seen<'_> {
    /// Rows and columns of the input.
    pub fn size(&self) -> [usize; 2] {
        let [_, _, rows, columns] = self.input.dims();
        [rows, columns]
    }
}

impl Tape {
    /// Runs `network` on `input` `[n, c, h, w]` and keeps each layer's input. The first value is the output.
    pub fn record(network: &Network, input: Tensor<4>) -> (Tensor<4>, Self) {
        let mut records = Vec::with_capacity(network.layers.len());
        let mut activation = input;
        let mut layers = network.layers.as_slice();
        while let Some((layer, rest)) = layers.split_first() {
            let input = activation;
            let mut branches = Vec::new();
            let scale = match rest {
                [Layer::Scale(scale), ..] => Some(scale),
                _ => None,
            };
            let then = Finish { scale, ..Finish::default() };
            let (made, response) = match layer {
                Layer::Conv(conv) => (Some(conv.forward_then(input.clone(), then)), None),
                Layer::BcosConv(conv) => match conv.respond(&input) {
                    Some(response) => (Some(conv.output(&response, then)), Some(response)),
                    None => (Some(conv.forward_then(input.clone(), then)), None),
                },
                _ => (None, None),
            };
            let covers_scale = made.is_some() && scale.is_some();
            layers = if covers_scale { &rest[1..] } else { rest };
            activation = match (made, layer) {
                (Some(made), _) => made,
                (None, Layer::Sum(networks) | Layer::Concat(networks)) => {
                    branches = networks.iter().map(|branch| Self::record(branch, input.clone()).1).collect();
                    let outputs = branches.iter().map(|tape: &Self| tape.output.clone());
                    match layer {
                        Layer::Concat(_) => Tensor::cat(outputs.collect(), 1),
                        _ => outputs.reduce(|total, branch| total + branch).expect("a sum has at least one branch"),
                    }
                }
                (None, Layer::Apart(apart)) => {
                    let alone = |cell| Self::record(&apart.network, cell).1;
                    branches = cells(&input, apart.grid).into_iter().map(alone).collect();
                    together(branches.iter().map(|tape| tape.output.clone()).collect(), apart.grid)
                }
                (None, layer) => layer.forward(input.clone()),
            };
            records.push(Record { input, response, branches });
            // The scale's own record, which no rule reads: it is covered by the convolution's.
            if covers_scale {
                records.push(Record { input: activation.clone(), response: None, branches: Vec::new() });
            }
        }
        let output = activation.clone();
        (activation, Self { records, output })
    }

    /// What the first layer saw, `[n, ..]`.
    pub fn input(&self) -> &Tensor<4> {
        self.records.first().map_or(&self.output, |first| &first.input)
    }

    /// The last layer's output, `[n, ..]`.
    pub fn output(&self) -> &Tensor<4> {
        &self.output
    }

    /// The pass through the layers behind layer number `layer`.
    pub fn after(&self, layer: usize) -> Self {
        Self { records: self.records[layer + 1..].to_vec(), output: self.output.clone() }
    }

    /// The input of layer number `layer`, `[n, ..]`; see above for channel scales.
    pub fn input_of(&self, layer: usize) -> &Tensor<4> {
        &self.records[layer].input
    }

    /// The output of layer number `layer`, `[n, ..]`.
    fn output_of(&self, layer: usize) -> &Tensor<4> {
        self.records.get(layer + 1).map_or(&self.output, |next| &next.input)
    }

    /// The branches, or cells, of layer number `layer`, none of a layer without.
    pub fn branches(&self, layer: usize) -> &[Self] {
        &self.records[layer].branches
    }

    /// Fastens a plan to this pass, so that any number of cotangents can be pulled back.
    ///
    /// The plan must be bound to the network that was recorded.
    pub fn fasten(&self, plan: &Plan) -> Ready {
        self.program(plan).ready(&self.output.device())
    }

    /// The same before it is laid out for the device.
    pub fn program(&self, plan: &Plan) -> Program {
        let mut program = Program::default();
        for step in plan.steps.iter().rev() {
            let seen = Seen {
                input: &self.records[step.first].input,
                output: self.output_of(step.last),
                response: self.records[step.first].response.as_ref(),
                branches: &self.records[step.first].branches,
            };
            step.bound.fasten(&seen, &mut program);
        }
        program
    }

    /// Pulls cotangents of the output back to the input by the plan's rules, last layer first.
    ///
    /// `cotangents` is `[n * k, ..]`, image-major (see [`crate::batch`]); so is what comes back.
    pub fn pull_back(&self, plan: &Plan, cotangents: Tensor<4>) -> Tensor<4> {
        self.fasten(plan).pull_back(cotangents)
    }
}
