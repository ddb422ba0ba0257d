//! The one place that names burn's backend, so that all other code reads `Tensor<4>` and `Device`.
//!
//! The device decides at run time which backend computes; with burn 0.22, which has no backend parameter, this file
//! is the whole upgrade.

use burn::tensor::{Float, TensorData};

use crate::failure;

/// A tensor of rank `D` on whichever device it was made for.
pub type Tensor<const D: usize, K = Float> = burn::tensor::Tensor<burn::Dispatch, D, K>;

/// A compute device; get it from `Stage::device`, never from `Device::default()`, which would prefer a GPU.
pub type Device = burn::DispatchDevice;

/// What `backward` returns: the gradient of every tracked leaf.
pub type Gradients = <burn::Dispatch as burn::tensor::backend::AutodiffBackend>::Gradients;

/// The CPU device, for tests and for work that must not touch an accelerator.
pub fn cpu() -> Device {
    Device::Flex(burn::backend::flex::FlexDevice)
}

/// A tensor of `shape` from its row-major values.
///
/// Panics when the number of values is not the product of `shape`.
pub fn from_vec<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The row-major values of a float32 tensor, copied from its device.
///
/// Unwinds with [`failure::DeviceFailed`] where a device failed, unless [`failure::catch`] is there to be told.
pub fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let values = |data: TensorData| data.into_vec().expect("all float tensors of this project are float32");
    // Equal whether autodiff records or not.
    if tensor.device() == cpu() {
        return values(tensor.into_data());
    }
    let count = tensor.dims().iter().product();
    failure::checked(|| tensor.try_into_data().map(values).map_err(|error| error.to_string()), || vec![0.0; count])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_device() {
        let values: Vec<f32> = (0..6).map(|i| i as f32 - 2.5).collect();
        let tensor = from_vec(values.clone(), [1, 2, 3], &cpu());
        assert_eq!(tensor.dims(), [1, 2, 3]);
        assert_eq!(to_vec(tensor.clone()), values);
        assert_eq!(to_vec(tensor.swap_dims(1, 2)), [-2.5, 0.5, -1.5, 1.5, -0.5, 2.5]);
    }
}
