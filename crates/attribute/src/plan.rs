//! A composite fastened to a network: every layer has its rule, every changed weight is made, once for all images.

use features::{
    error::{Error, Result},
    network::{ChannelScale, Layer, Network},
};

use crate::{
    composite::{Composite, Kind, Place},
    linear::LinearMap,
    rule::{BcosRule, Bound, BoxRule, Carrier, Rule, Scaling, ShareRule, Sign, SplitRule},
};

/// Rules in forward order, each with the layers it covers.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) steps: Vec<Step>,
}

/// A rule and the layers `first..=last` that it covers.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) first: usize,
    pub(crate) last: usize,
    pub(crate) bound: Bound,
}

/// What the network's first layer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Pixels: the first convolution is the composite's first.
    Pixels,
    /// Features of another network: this one is a probe head, whose 1x1 convolutions are dense layers.
    Features,
}

/// What is known about the values at one place of the network.
#[derive(Debug, Clone, Copy)]
struct State {
    /// Where the next convolution stands.
    place: Place,
    sign: Sign,
}

impl Plan {
    /// Gives every layer its rule.
    ///
    /// # Errors
    /// `Bug` when the composite's table names a rule that the layer cannot follow, `BadData` when the box rule has
    /// another number of channels than the network, `Usage` when the network has a layer that the method says nothing
    /// about.
    pub fn bind(network: &Network, composite: &Composite, entry: Entry) -> Result<Self> {
        let place = match entry {
            Entry::Pixels => Place::First,
            Entry::Features => Place::Head,
        };
        Ok(Self::bind_from(network, composite, State { place, sign: Sign::Any })?.0)
    }

    fn bind_from(network: &Network, composite: &Composite, mut state: State) -> Result<(Self, State)> {
        let mut steps = Vec::new();
        let mut first = 0;
        while let Some(layer) = network.layers.get(first) {
            // METHOD: canonisation. A channel scale right behind a convolution is part of that convolution's map:
            // the forward pass keeps them apart, the pull-back folds them.
            let scale = match (layer, network.layers.get(first + 1)) {
                (Layer::Conv(_) | Layer::BcosConv(_), Some(Layer::Scale(scale))) => Some(scale),
                _ => None,
            };
            let last = first + usize::from(scale.is_some());
            let carrier = carrier(&network.layers[last + 1..], composite);
            let bound = bind_layer(layer, scale, carrier, composite, &mut state)?;
            steps.push(Step { first, last, bound });
            first = last + 1;
        }
        Ok((Self { steps }, state))
    }
}

/// Which outputs of a convolution can have relevance, by what stands behind it.
///
/// A ReLU passes relevance on as it is, so where the layer behind it gives an input of 0 nothing, a convolution's
/// output has relevance only where it is > 0. A sum behind the ReLU may copy relevance to a shortcut, so it does not
/// count.
fn carrier(behind: &[Layer], composite: &Composite) -> Carrier {
    let [Layer::Relu, next @ (Layer::Conv(_) | Layer::BcosConv(_)), ..] = behind else { return Carrier::All };
    let by_input = matches!(
        composite.rule(Kind::of(next), Place::Later),
        Rule::Gamma { .. } | Rule::AlphaBeta { .. } | Rule::Epsilon { .. }
    );
    if by_input && composite.rule(Kind::Relu, Place::Later) == Rule::Pass { Carrier::Positive } else { Carrier::All }
}

fn bind_layer(
    layer: &Layer,
    scale: Option<&ChannelScale>,
    carrier: Carrier,
    composite: &Composite,
    state: &mut State,
) -> Result<Bound> {
    let kind = Kind::of(layer);
    let place = state.place;
    let rule = composite.rule(kind, place);
    let sign = state.sign;
    if let Layer::Sum(branches) | Layer::Concat(branches) = layer {
        return bind_branches(kind, branches, &rule, composite, state);
    }
    if let Layer::Apart(apart) = layer {
        let (plan, after) = Plan::bind_from(&apart.network, composite, *state)?;
        *state = after;
        return match rule {
            Rule::ByCell => Ok(Bound::Apart(Box::new(plan), apart.grid)),
            rule => Err(no_rule(composite, kind, &rule)),
        };
    }
    if matches!(kind, Kind::Conv | Kind::BcosConv) && place == Place::First {
        state.place = Place::Later;
    }
    state.sign = match layer {
        Layer::Relu => Sign::NonNegative,
        Layer::MaxPool(_) | Layer::AvgPool(_) | Layer::GlobalAvgPool => sign,
        _ => Sign::Any,
    };
    Ok(match (layer, rule) {
        (Layer::AttentionPool(_), Rule::Undefined) => return Err(undefined(composite)),
        (Layer::AttentionPool(pool), Rule::Gradient) => Bound::Attention(pool.clone()),
        (_, Rule::Pass) | (Layer::Offset(_), Rule::Gradient) => Bound::Identity,
        (Layer::Conv(conv), rule) => {
            let map = match scale {
                Some(scale) => LinearMap::folded(conv, scale),
                None => LinearMap::conv(conv),
            };
            match rule {
                Rule::Gradient => Bound::Linear(map),
                Rule::Gamma { gamma } => Bound::Split(Box::new(SplitRule::gamma(&map, gamma, sign, carrier))),
                Rule::AlphaBeta { alpha, beta } => {
                    Bound::Split(Box::new(SplitRule::alpha_beta(&map, alpha, beta, sign)))
                }
                Rule::WSquare => Bound::Share(Box::new(ShareRule::squares(&map))),
                Rule::Flat => Bound::Share(Box::new(ShareRule::flat(&map))),
                Rule::Epsilon { epsilon } => Bound::Epsilon(map, epsilon),
                Rule::ZBox { low, high } => {
                    let channels = map.weight.dims()[1];
                    if low.len() != channels || high.len() != channels {
                        return Err(Error::BadData(format!(
                            "the box rule has bounds for {} channels, the network reads {channels}; \
                             the backbone's encoding does not fit its weights",
                            low.len()
                        )));
                    }
                    Bound::Box(Box::new(BoxRule::new(&map, &low, &high)))
                }
                rule => return Err(no_rule(composite, kind, &rule)),
            }
        }
        (Layer::BcosConv(conv), rule) => {
            let scaling = match rule {
                Rule::Gradient => Scaling::Differentiated,
                Rule::DetachedScale => Scaling::Constant,
                Rule::Epsilon { .. } => Scaling::ConstantEpsilon,
                rule => return Err(no_rule(composite, kind, &rule)),
            };
            Bound::Bcos(Box::new(BcosRule::new(conv, scale, scaling)))
        }
        (Layer::Scale(scale), Rule::Gradient) => Bound::Scale(scale.scale.clone()),
        (Layer::Relu, Rule::Gradient) => Bound::ReluGradient,
        (Layer::Relu, Rule::Guided) => Bound::ReluGuided,
        (Layer::Relu, Rule::Deconvolved) => Bound::ReluDeconvolved,
        (Layer::Relu, Rule::Rescale) => Bound::ReluRescale,
        (Layer::MaxPool(pool), Rule::Gradient) => Bound::MaxPool(*pool),
        (Layer::MaxPool(pool), Rule::Rescale) => Bound::MaxPoolRescale(*pool),
        (Layer::AvgPool(pool), Rule::Gradient) => Bound::AvgPool(*pool),
        (Layer::AvgPool(pool), Rule::Proportional) => Bound::AvgPoolShare(*pool),
        (Layer::Offset(_), Rule::Proportional) => Bound::OffsetShare,
        (Layer::GlobalAvgPool, Rule::Gradient) => Bound::GlobalAverage,
        (Layer::GlobalAvgPool, Rule::Proportional) => Bound::GlobalAverageShare,
        (_, rule) => return Err(no_rule(composite, kind, &rule)),
    })
}

fn bind_branches(
    kind: Kind,
    branches: &[Network],
    rule: &Rule,
    composite: &Composite,
    state: &mut State,
) -> Result<Bound> {
    let mut plans = Vec::with_capacity(branches.len());
    let (mut place, mut sign) = (state.place, Sign::NonNegative);
    for branch in branches {
        let (plan, after) = Plan::bind_from(branch, composite, State { place, ..*state })?;
        plans.push(plan);
        // The first convolution met is the first; what is made of branches is known to be >= 0 when all of them are.
        place = after.place;
        if after.sign == Sign::Any {
            sign = Sign::Any;
        }
    }
    *state = State { place, sign };
    match (kind, rule) {
        (Kind::Sum, Rule::Duplicate) => Ok(Bound::SumDuplicate(plans)),
        (Kind::Sum, Rule::Proportional) => Ok(Bound::SumShare(plans)),
        (Kind::Concat, Rule::ByChannel) => Ok(Bound::Concat(plans)),
        (kind, rule) => Err(no_rule(composite, kind, rule)),
    }
}

fn undefined(composite: &Composite) -> Error {
    Error::Usage(format!(
        "the rules of {composite} are not defined for the softmax of CLIP's attention pool (attnpool); leave the method \
         out, or take the trunk without the pool with layout = \"clip\""
    ))
}

fn no_rule(composite: &Composite, kind: Kind, rule: &Rule) -> Error {
    Error::Bug(format!(
        "composite {composite} gives {rule:?} to a layer of kind {kind:?}, which cannot follow it; \
         correct the table in composite.rs"
    ))
}
