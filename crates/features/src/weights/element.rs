//! Element types of stored tensors, and widening them to the f32 that all computing is done in.

/// Type of a stored number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
    /// 16-bit integer.
    I16,
    /// Signed byte.
    I8,
    /// Byte.
    U8,
    /// Byte, 0 or 1.
    Bool,
}

/// Each type with its name in safetensors and the name of PyTorch's storage class.
const NAMES: [(Element, &str, &str); 10] = [
    (Element::F64, "F64", "DoubleStorage"),
    (Element::F32, "F32", "FloatStorage"),
    (Element::F16, "F16", "HalfStorage"),
    (Element::Bf16, "BF16", "BFloat16Storage"),
    (Element::I64, "I64", "LongStorage"),
    (Element::I32, "I32", "IntStorage"),
    (Element::I16, "I16", "ShortStorage"),
    (Element::I8, "I8", "CharStorage"),
    (Element::U8, "U8", "ByteStorage"),
    (Element::Bool, "BOOL", "BoolStorage"),
];

impl Element {
    /// The type that safetensors calls `name`.
    pub fn of_safetensors(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known, _)| *known == name).map(|(element, ..)| *element)
    }

    /// The type of PyTorch's storage class `torch.NAME`.
    pub fn of_storage(name: &str) -> Option<Self> {
        NAMES.iter().find(|(.., known)| *known == name).map(|(element, ..)| *element)
    }

    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Little-endian numbers as f32, rounded to nearest where they have more digits.
    pub fn widen(self, data: &[u8]) -> Vec<f32> {
        let pairs = || data.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        let fours = || data.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
        let eights = || data.chunks_exact(8).map(|b| [b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
        match self {
            Self::F64 => eights().map(|b| f64::from_le_bytes(b) as f32).collect(),
            Self::F32 => fours().map(f32::from_le_bytes).collect(),
            Self::F16 => pairs().map(half_to_f32).collect(),
            Self::Bf16 => pairs().map(|bits| f32::from_bits(u32::from(bits) << 16)).collect(),
            Self::I64 => eights().map(|b| i64::from_le_bytes(b) as f32).collect(),
            Self::I32 => fours().map(|b| i32::from_le_bytes(b) as f32).collect(),
            Self::I16 => pairs().map(|bits| f32::from(bits.cast_signed())).collect(),
            Self::I8 => data.iter().map(|&byte| f32::from(byte.cast_signed())).collect(),
            Self::U8 | Self::Bool => data.iter().map(|&byte| f32::from(byte)).collect(),
        }
    }
}

/// IEEE half precision: 1 sign, 5 exponent, 10 mantissa bits.
fn half_to_f32(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    match exponent {
        0 => sign * mantissa * 2f32.powi(-24),
        31 if mantissa == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1.0 + mantissa / 1024.0) * 2f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_value() {
        let cases: [(Element, &[u8], f32); 11] = [
            (Element::F64, &(-0.1f64).to_le_bytes(), -0.1),
            (Element::F32, &1.5f32.to_le_bytes(), 1.5),
            (Element::F16, &[0x00, 0xc0], -2.0),
            (Element::F16, &[0x01, 0x00], 5.960_464_5e-8),
            (Element::F16, &[0xff, 0x7b], 65504.0),
            (Element::Bf16, &[0xc0, 0x3f], 1.5),
            (Element::I64, &(-3i64).to_le_bytes(), -3.0),
            (Element::I32, &(1i32 << 20).to_le_bytes(), 1_048_576.0),
            (Element::I16, &(-300i16).to_le_bytes(), -300.0),
            (Element::I8, &[0xff], -1.0),
            (Element::U8, &[0xff], 255.0),
        ];
        for (element, bytes, value) in cases {
            assert_eq!(bytes.len(), element.size());
            assert_eq!(element.widen(bytes), [value], "{element:?}");
        }
    }
}
