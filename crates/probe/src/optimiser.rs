//! What turns a gradient into a step: descent with momentum, Adam and AdamW as PyTorch has them.

mod plain;

use features::error::Result;
use features::tensor::{Tensor, from_vec, to_vec};
pub use plain::Step;
use serde::{Deserialize, Serialize};

use crate::checkpoint::State;

/// How weights are fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Descent with momentum; weight decay enters the gradient.
    Sgd,
    /// Adam; weight decay enters the gradient.
    Adam,
    /// Adam; weight decay shrinks the weights beside it.
    #[serde(rename = "adamw")]
    AdamW,
    /// The optimum itself, by L-BFGS on all tiles; linear heads only.
    Lbfgs,
    /// Newton's method; shifted copies only.
    Newton,
    /// Not fitted here: shifted by a formula, or imported.
    None,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 6] = [Self::Sgd, Self::Adam, Self::AdamW, Self::Lbfgs, Self::Newton, Self::None];

    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::Adam => "adam",
            Self::AdamW => "adamw",
            Self::Lbfgs => "lbfgs",
            Self::Newton => "newton",
            Self::None => "none",
        }
    }

    /// The method of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// A method and its settings.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Optimiser {
    /// The method.
    pub method: Method,
    /// Share of the last step that descent keeps; 0 for other methods.
    pub momentum: f64,
    /// Factor of half the squared weights: added to the loss, or in AdamW beside it.
    pub weight_decay: f64,
}

impl Optimiser {
    /// The reference's: momentum 0.9, no weight decay.
    pub const SGD: Self = Self { method: Method::Sgd, momentum: 0.9, weight_decay: 0.0 };

    /// A method without settings.
    pub const fn plain(method: Method) -> Self {
        Self { method, momentum: 0.0, weight_decay: 0.0 }
    }
}

/// PyTorch's defaults, which the reference keeps.
const BETAS: [f32; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;

/// An optimiser's memory of the steps so far, for one list of parameters.
#[derive(Debug, Clone)]
pub struct Memory {
    optimiser: Optimiser,
    first: Vec<Tensor<2>>,
    second: Vec<Tensor<2>>,
    steps: i32,
}

impl Memory {
    /// No memory yet of parameters shaped like these.
    pub fn new(optimiser: Optimiser, parameters: &[Tensor<2>]) -> Self {
        let zeros = || parameters.iter().map(Tensor::zeros_like).collect();
        Self { optimiser, first: zeros(), second: zeros(), steps: 0 }
    }

    /// Adds its numbers to a state.
    pub fn save(&self, state: &mut State) {
        state.put_doubles("memory.steps", vec![f64::from(self.steps)]);
        for (kind, tensors) in [("first", &self.first), ("second", &self.second)] {
            for (index, tensor) in tensors.iter().enumerate() {
                state.put(format!("memory.{kind}{index}"), to_vec(tensor.clone()));
            }
        }
    }

    /// Takes its numbers out of a state.
    pub fn restore(&mut self, state: &mut State) -> Result<()> {
        self.steps = state.take_doubles("memory.steps")?.first().map_or(0, |&steps| steps as i32);
        for (kind, tensors) in [("first", &mut self.first), ("second", &mut self.second)] {
            for (index, tensor) in tensors.iter_mut().enumerate() {
                let values = state.take(&format!("memory.{kind}{index}"))?;
                *tensor = from_vec(values, tensor.dims(), &tensor.device());
            }
        }
        Ok(())
    }

    /// What to subtract from each parameter, before it is multiplied by the step size.
    // METHOD: torch.optim.SGD v = m v + g, step v; Adam m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, step
    // (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8); weight decay adds w p to g, in AdamW to the step.
    pub fn directions(&mut self, parameters: &[Tensor<2>], gradients: Vec<Tensor<2>>) -> Vec<Tensor<2>> {
        self.steps += 1;
        let decay = self.optimiser.weight_decay as f32;
        let mut directions = Vec::with_capacity(gradients.len());
        for (index, (parameter, mut gradient)) in parameters.iter().zip(gradients).enumerate() {
            if decay != 0.0 && self.optimiser.method != Method::AdamW {
                gradient = gradient + parameter.clone().mul_scalar(decay);
            }
            let mut direction = match self.optimiser.method {
                Method::Adam | Method::AdamW => self.adam(index, gradient),
                _ => self.momentum(index, gradient),
            };
            if decay != 0.0 && self.optimiser.method == Method::AdamW {
                direction = direction + parameter.clone().mul_scalar(decay);
            }
            directions.push(direction);
        }
        directions
    }

    fn momentum(&mut self, index: usize, gradient: Tensor<2>) -> Tensor<2> {
        let velocity = &mut self.first[index];
        *velocity = velocity.clone().mul_scalar(self.optimiser.momentum as f32) + gradient;
        velocity.clone()
    }

    fn adam(&mut self, index: usize, gradient: Tensor<2>) -> Tensor<2> {
        let (first, second) = (&mut self.first[index], &mut self.second[index]);
        let square = gradient.clone() * gradient.clone();
        *first = first.clone().mul_scalar(BETAS[0]) + gradient.mul_scalar(1.0 - BETAS[0]);
        *second = second.clone().mul_scalar(BETAS[1]) + square.mul_scalar(1.0 - BETAS[1]);
        let unbiased = |beta: f32| (1.0 - f64::from(beta).powi(self.steps)) as f32;
        let root = second.clone().div_scalar(unbiased(BETAS[1])).sqrt().add_scalar(EPSILON);
        first.clone().div_scalar(unbiased(BETAS[0])) / root
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::tensor::cpu;

    /// The update rules once more, number by number in double precision, over the gradient of (p - 3)^4.
    fn slow(optimiser: Optimiser, start: f64, rate: f64, steps: i32) -> f64 {
        let (mut p, mut m, mut v) = (start, 0.0, 0.0);
        for t in 1..=steps {
            let mut g = 4.0 * (p - 3.0f64).powi(3);
            let decay = optimiser.weight_decay;
            if optimiser.method == Method::AdamW {
                p -= rate * decay * p;
            } else {
                g += decay * p;
            }
            if optimiser.method == Method::Sgd {
                m = optimiser.momentum * m + g;
                p -= rate * m;
            } else {
                m = 0.9 * m + 0.1 * g;
                v = 0.999 * v + 0.001 * g * g;
                p -= rate * (m / (1.0 - 0.9f64.powi(t))) / ((v / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8);
            }
        }
        p
    }

    #[test]
    fn steps_are_those_of_the_formulas() {
        for (method, momentum, weight_decay) in [
            (Method::Sgd, 0.0, 0.0),
            (Method::Sgd, 0.9, 0.1),
            (Method::Adam, 0.0, 0.0),
            (Method::Adam, 0.0, 0.3),
            (Method::AdamW, 0.0, 0.3),
        ] {
            let optimiser = Optimiser { method, momentum, weight_decay };
            let starts = [1.0, 2.5];
            let rate: f64 = if method == Method::Sgd { 0.01 } else { 0.05 };
            let mut parameter = from_vec(starts.to_vec(), [1, 2], &cpu());
            let mut memory = Memory::new(optimiser, std::slice::from_ref(&parameter));
            for _ in 0..20 {
                let gradient = parameter.clone().sub_scalar(3.0).powi_scalar(3).mul_scalar(4.0);
                let direction = memory.directions(std::slice::from_ref(&parameter), vec![gradient]).remove(0);
                parameter = parameter - direction.mul_scalar(rate);
            }
            let (mut plain, mut first, mut second) = (starts, [0.0; 2], vec![0.0; 2]);
            second.truncate(if optimiser.has_squares() { 2 } else { 0 });
            for number in 1..=20 {
                let gradient = plain.map(|p: f32| 4.0 * (p - 3.0).powi(3));
                optimiser.descend(Step { number, rate: rate as f32 }, &mut plain, &mut first, &mut second, &gradient);
            }
            for (got, start) in to_vec(parameter).into_iter().chain(plain).zip(starts.into_iter().cycle()) {
                let want = slow(optimiser, f64::from(start), rate, 20);
                assert!((f64::from(got) - want).abs() < 2e-5, "{optimiser:?} from {start}: {got} {want}");
            }
        }
    }

    #[test]
    fn names_are_those_of_serde() {
        for method in Method::ALL {
            assert_eq!(serde_json::to_value(method).unwrap(), method.name());
            assert_eq!(Method::from_name(method.name()), Some(method));
        }
    }
}
