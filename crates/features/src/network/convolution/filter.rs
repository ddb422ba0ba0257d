//! The weights of a convolution with the forms of them that the CPU's products take, each made when it is first needed.

use std::sync::{Arc, OnceLock};

use super::{
    kernel::{Kernel, Side},
    winograd,
};
use crate::tensor::Tensor;

/// Weights `[out, in, kernel rows, kernel columns]`. Copies share what was laid out of them, so that this is done once for
/// all passes of a network.
#[derive(Debug, Clone)]
pub struct Filter {
    weight: Tensor<4>,
    forms: Arc<Forms>,
}

// No form is made on several threads: one that waits for it in a pool could be the one that is to make it.
#[derive(Debug, Default)]
struct Forms {
    /// A matrix for each kernel position.
    positions: OnceLock<Kernel>,
    /// Winograd's sixteen matrices.
    tiles: OnceLock<Kernel>,
}

impl From<Tensor<4>> for Filter {
    fn from(weight: Tensor<4>) -> Self {
        Self { weight, forms: Arc::default() }
    }
}

impl Filter {
    /// The weights.
    pub fn tensor(&self) -> &Tensor<4> {
        &self.weight
    }

    /// Outputs, inputs, kernel rows, kernel columns.
    pub fn dims(&self) -> [usize; 4] {
        self.weight.dims()
    }

    pub(super) fn positions(&self) -> &Kernel {
        self.forms.positions.get_or_init(|| Kernel::new(&self.weight, Side::Output))
    }

    pub(super) fn tiles(&self) -> &Kernel {
        self.forms.tiles.get_or_init(|| winograd::transformed(&Kernel::new(&self.weight, Side::Output)))
    }
}
