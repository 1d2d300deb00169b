//! The number type of the models: `f32` for speed, `f64` for gradient checks.

use std::fmt::{Debug, Display};
use std::ops::{AddAssign, MulAssign, SubAssign};

/// A floating-point number. The transcendental functions go through `libm`, not through the
/// system's mathematics library, so that a training gives the same bits on every machine.
pub trait Real:
    num_traits::Float
    + AddAssign
    + SubAssign
    + MulAssign
    + Default
    + Debug
    + Display
    + Send
    + Sync
    + 'static
{
    /// Name of the type, as in a checkpoint: `F32` or `F64`.
    const NAME: &'static str;
    /// Bytes of one number.
    const BYTES: usize;
    /// Rounds an `f64` to this type.
    fn of(value: f64) -> Self;
    /// Widens to `f64`.
    fn wide(self) -> f64;
    /// e to the power `self`, the same bits everywhere.
    fn det_exp(self) -> Self;
    /// Natural logarithm, the same bits everywhere.
    fn det_ln(self) -> Self;
    /// Hyperbolic tangent, the same bits everywhere.
    fn det_tanh(self) -> Self;
    /// Arc tangent, the same bits everywhere.
    fn det_atan(self) -> Self;
    /// Error function, the same bits everywhere.
    fn det_erf(self) -> Self;
    /// Appends the little-endian bytes.
    fn put(self, out: &mut Vec<u8>);
    /// Reads little-endian bytes; `bytes` holds exactly [`Real::BYTES`] of them.
    fn take(bytes: &[u8]) -> Option<Self>;
}

macro_rules! real {
    ($t:ty, $name:literal, $exp:path, $ln:path, $tanh:path, $atan:path, $erf:path) => {
        impl Real for $t {
            const NAME: &'static str = $name;
            const BYTES: usize = std::mem::size_of::<$t>();
            #[inline(always)]
            fn of(value: f64) -> Self {
                value as $t
            }
            #[inline(always)]
            fn wide(self) -> f64 {
                f64::from(self)
            }
            #[inline]
            fn det_exp(self) -> Self {
                $exp(self)
            }
            #[inline]
            fn det_ln(self) -> Self {
                $ln(self)
            }
            #[inline]
            fn det_tanh(self) -> Self {
                $tanh(self)
            }
            #[inline]
            fn det_atan(self) -> Self {
                $atan(self)
            }
            #[inline]
            fn det_erf(self) -> Self {
                $erf(self)
            }
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn take(bytes: &[u8]) -> Option<Self> {
                Some(<$t>::from_le_bytes(bytes.try_into().ok()?))
            }
        }
    };
}

real!(f32, "F32", libm::expf, libm::logf, libm::tanhf, libm::atanf, libm::erff);
real!(f64, "F64", libm::exp, libm::log, libm::tanh, libm::atan, libm::erf);
