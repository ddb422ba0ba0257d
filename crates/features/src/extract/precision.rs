//! The type of number a backbone computes with.

use burn::tensor::FloatDType;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::network::Network;
use crate::tensor::{Device, Tensor};

/// A type of number; what is kept of features is said by `keep_bits`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 24 bits of mantissa; on a GPU sums have them, while products may be made of numbers with 11 (TF32).
    #[default]
    Float32,
    /// 8 bits of mantissa with the range of float32.
    Bfloat16,
    /// 11 bits of mantissa, nothing above 65504.
    Float16,
}

impl Precision {
    /// Refuses what `device` does not compute with.
    ///
    /// # Errors
    /// [`Error::Usage`] for anything but float32 on the CPU.
    pub fn check(self, device: &Device) -> Result<()> {
        match (self.cast(), device) {
            (Some(_), Device::Flex(_)) => {
                let message =
                    "section [features]: precision: the CPU computes in float32; leave it out, or give --device cuda";
                Err(Error::Usage(message.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// The type that everything is cast to, none for the one it has.
    fn cast(self) -> Option<FloatDType> {
        match self {
            Self::Float32 => None,
            Self::Bfloat16 => Some(FloatDType::BF16),
            Self::Float16 => Some(FloatDType::F16),
        }
    }

    /// The network in this precision.
    pub fn of_network(self, network: Network) -> Network {
        match self.cast() {
            None => network,
            Some(to) => network.cast(to),
        }
    }

    /// Pictures in this precision.
    pub fn of_pictures(self, pictures: Tensor<4>) -> Tensor<4> {
        match self.cast() {
            None => pictures,
            Some(to) => pictures.cast(to),
        }
    }

    /// Maps of this precision in float32.
    pub fn back(self, maps: Tensor<4>) -> Tensor<4> {
        match self.cast() {
            None => maps,
            Some(_) => maps.cast(FloatDType::F32),
        }
    }
}
