//! Sixteen numbers at a time: one source for the scalar and the vector code.
//!
//! The kernels are generic over [`Lanes`]. [`Array`] is portable (and becomes AVX2 or NEON code where
//! the compiler may use it), [`Avx512`] is written with intrinsics. Every operation is an IEEE
//! operation with one rounding, multiply-add is always fused, so all variants give the same bits.

/// Number of lanes.
pub(crate) const WIDTH: usize = 16;

/// Sixteen `f32`, aligned for any vector unit.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Row(pub(crate) [f32; WIDTH]);

impl Row {
    pub(crate) const ZERO: Self = Self([0.0; WIDTH]);
}

/// Operations on sixteen lanes.
pub(crate) trait Lanes {
    /// Sixteen `f32`.
    type F: Copy;
    /// Sixteen `u32`.
    type U: Copy;

    fn splat(x: f32) -> Self::F;
    fn load(x: &[f32; WIDTH]) -> Self::F;
    fn store(x: Self::F) -> [f32; WIDTH];
    fn add(a: Self::F, b: Self::F) -> Self::F;
    fn sub(a: Self::F, b: Self::F) -> Self::F;
    fn mul(a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`, rounded once.
    fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c − a · b`, rounded once.
    fn fnma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a > b ? a : b`.
    fn max(a: Self::F, b: Self::F) -> Self::F;
    /// `a < b ? a : b`.
    fn min(a: Self::F, b: Self::F) -> Self::F;
    fn sqrt(a: Self::F) -> Self::F;
    /// Bit `l` set where `a > b`.
    fn gt(a: Self::F, b: Self::F) -> u16;
    /// `a` where the bit is set, else `b`.
    fn select(mask: u16, a: Self::F, b: Self::F) -> Self::F;
    /// Truncates to integers; values must lie in `0 ..= 65535`.
    fn to_u16(a: Self::F) -> [u16; WIDTH];

    fn splat_u(x: u32) -> Self::U;
    fn load_u(x: &[u32; WIDTH]) -> Self::U;
    fn xor(a: Self::U, b: Self::U) -> Self::U;
    fn and(a: Self::U, b: Self::U) -> Self::U;
    fn sub_u(a: Self::U, b: Self::U) -> Self::U;
    fn shr<const N: u32>(a: Self::U) -> Self::U;
    fn shl<const N: u32>(a: Self::U) -> Self::U;
    /// High and low words of the 64-bit product.
    fn mulhilo(a: Self::U, b: u32) -> (Self::U, Self::U);
    /// Converts; values must be below 2³¹.
    fn to_f(a: Self::U) -> Self::F;
    fn as_f(a: Self::U) -> Self::F;
    fn as_u(a: Self::F) -> Self::U;
}

/// Portable lanes. Where the target has no fused multiply-add it is a call for every lane; inlined
/// sixteen at a time these calls would be most of the code of this crate, so there `FUSED` is false and one
/// function does sixteen.
pub(crate) struct Of<const FUSED: bool>;

/// Portable lanes that become vector code inside a function with vector features.
pub(crate) type Array = Of<true>;

/// The lanes for a processor of which nothing is known but its architecture.
#[cfg(target_arch = "x86_64")]
pub(crate) type Portable = Of<false>;
/// The lanes for a processor of which nothing is known but its architecture.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) type Portable = Array;

macro_rules! each {
    (|$l:ident| $body:expr) => {{
        let mut out = [Default::default(); WIDTH];
        let mut $l = 0;
        while $l < WIDTH {
            out[$l] = $body;
            $l += 1;
        }
        out
    }};
}

#[inline(always)]
fn fused(a: &[f32; WIDTH], b: &[f32; WIDTH], c: &[f32; WIDTH]) -> [f32; WIDTH] {
    each!(|l| a[l].mul_add(b[l], c[l]))
}

#[inline(never)]
fn fused_by_calls(a: &[f32; WIDTH], b: &[f32; WIDTH], c: &[f32; WIDTH]) -> [f32; WIDTH] {
    fused(a, b, c)
}

impl<const FUSED: bool> Lanes for Of<FUSED> {
    type F = [f32; WIDTH];
    type U = [u32; WIDTH];

    #[inline(always)]
    fn splat(x: f32) -> Self::F {
        [x; WIDTH]
    }
    #[inline(always)]
    fn load(x: &[f32; WIDTH]) -> Self::F {
        *x
    }
    #[inline(always)]
    fn store(x: Self::F) -> [f32; WIDTH] {
        x
    }
    #[inline(always)]
    fn add(a: Self::F, b: Self::F) -> Self::F {
        each!(|l| a[l] + b[l])
    }
    #[inline(always)]
    fn sub(a: Self::F, b: Self::F) -> Self::F {
        each!(|l| a[l] - b[l])
    }
    #[inline(always)]
    fn mul(a: Self::F, b: Self::F) -> Self::F {
        each!(|l| a[l] * b[l])
    }
    #[inline(always)]
    fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        if FUSED { fused(&a, &b, &c) } else { fused_by_calls(&a, &b, &c) }
    }
    #[inline(always)]
    fn fnma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        Self::fma(each!(|l| -a[l]), b, c)
    }
    #[inline(always)]
    fn max(a: Self::F, b: Self::F) -> Self::F {
        each!(|l| if a[l] > b[l] { a[l] } else { b[l] })
    }
    #[inline(always)]
    fn min(a: Self::F, b: Self::F) -> Self::F {
        each!(|l| if a[l] < b[l] { a[l] } else { b[l] })
    }
    #[inline(always)]
    fn sqrt(a: Self::F) -> Self::F {
        each!(|l| a[l].sqrt())
    }
    #[inline(always)]
    fn gt(a: Self::F, b: Self::F) -> u16 {
        let mut mask = 0;
        let mut l = 0;
        while l < WIDTH {
            mask |= u16::from(a[l] > b[l]) << l;
            l += 1;
        }
        mask
    }
    #[inline(always)]
    fn select(mask: u16, a: Self::F, b: Self::F) -> Self::F {
        each!(|l| if mask >> l & 1 == 1 { a[l] } else { b[l] })
    }
    #[inline(always)]
    fn to_u16(a: Self::F) -> [u16; WIDTH] {
        each!(|l| a[l] as i32 as u16)
    }

    #[inline(always)]
    fn splat_u(x: u32) -> Self::U {
        [x; WIDTH]
    }
    #[inline(always)]
    fn load_u(x: &[u32; WIDTH]) -> Self::U {
        *x
    }
    #[inline(always)]
    fn xor(a: Self::U, b: Self::U) -> Self::U {
        each!(|l| a[l] ^ b[l])
    }
    #[inline(always)]
    fn and(a: Self::U, b: Self::U) -> Self::U {
        each!(|l| a[l] & b[l])
    }
    #[inline(always)]
    fn sub_u(a: Self::U, b: Self::U) -> Self::U {
        each!(|l| a[l].wrapping_sub(b[l]))
    }
    #[inline(always)]
    fn shr<const N: u32>(a: Self::U) -> Self::U {
        each!(|l| a[l] >> N)
    }
    #[inline(always)]
    fn shl<const N: u32>(a: Self::U) -> Self::U {
        each!(|l| a[l] << N)
    }
    #[inline(always)]
    fn mulhilo(a: Self::U, b: u32) -> (Self::U, Self::U) {
        let high = each!(|l| ((u64::from(a[l]) * u64::from(b)) >> 32) as u32);
        let low = each!(|l| a[l].wrapping_mul(b));
        (high, low)
    }
    #[inline(always)]
    fn to_f(a: Self::U) -> Self::F {
        each!(|l| a[l] as i32 as f32)
    }
    #[inline(always)]
    fn as_f(a: Self::U) -> Self::F {
        each!(|l| f32::from_bits(a[l]))
    }
    #[inline(always)]
    fn as_u(a: Self::F) -> Self::U {
        each!(|l| a[l].to_bits())
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::Avx512;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lanes, WIDTH};
    use core::arch::x86_64::*;

    /// Lanes in AVX-512 registers. The kernels are instantiated with it only inside functions that
    /// were entered after the processor had been asked for `avx512f`, `avx512bw` and `avx512dq`.
    pub(crate) struct Avx512;

    // SAFETY (of every block below): AVX-512 is present, see `Avx512`; loads and stores go through
    // references to arrays of exactly one register's size and are the unaligned forms.
    impl Lanes for Avx512 {
        type F = __m512;
        type U = __m512i;

        #[inline(always)]
        fn splat(x: f32) -> __m512 {
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        fn load(x: &[f32; WIDTH]) -> __m512 {
            unsafe { _mm512_loadu_ps(x.as_ptr()) }
        }
        #[inline(always)]
        fn store(x: __m512) -> [f32; WIDTH] {
            let mut out = [0.0; WIDTH];
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), x) };
            out
        }
        #[inline(always)]
        fn add(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        fn sub(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        fn mul(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn fnma(a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fnmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn max(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        fn min(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_min_ps(a, b) }
        }
        #[inline(always)]
        fn sqrt(a: __m512) -> __m512 {
            unsafe { _mm512_sqrt_ps(a) }
        }
        #[inline(always)]
        fn gt(a: __m512, b: __m512) -> u16 {
            unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
        }
        #[inline(always)]
        fn select(mask: u16, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_mask_blend_ps(mask, b, a) }
        }
        #[inline(always)]
        fn to_u16(a: __m512) -> [u16; WIDTH] {
            let mut out = [0; WIDTH];
            unsafe {
                let packed = _mm512_cvtepi32_epi16(_mm512_cvttps_epi32(a));
                _mm256_storeu_si256(out.as_mut_ptr().cast(), packed);
            }
            out
        }

        #[inline(always)]
        fn splat_u(x: u32) -> __m512i {
            unsafe { _mm512_set1_epi32(x as i32) }
        }
        #[inline(always)]
        fn load_u(x: &[u32; WIDTH]) -> __m512i {
            unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
        }
        #[inline(always)]
        fn xor(a: __m512i, b: __m512i) -> __m512i {
            unsafe { _mm512_xor_si512(a, b) }
        }
        #[inline(always)]
        fn and(a: __m512i, b: __m512i) -> __m512i {
            unsafe { _mm512_and_si512(a, b) }
        }
        #[inline(always)]
        fn sub_u(a: __m512i, b: __m512i) -> __m512i {
            unsafe { _mm512_sub_epi32(a, b) }
        }
        #[inline(always)]
        fn shr<const N: u32>(a: __m512i) -> __m512i {
            unsafe { _mm512_srli_epi32::<N>(a) }
        }
        #[inline(always)]
        fn shl<const N: u32>(a: __m512i) -> __m512i {
            unsafe { _mm512_slli_epi32::<N>(a) }
        }
        #[inline(always)]
        fn mulhilo(a: __m512i, b: u32) -> (__m512i, __m512i) {
            unsafe {
                let b = _mm512_set1_epi32(b as i32);
                let even = _mm512_mul_epu32(a, b);
                let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(a), b);
                let high = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64::<32>(even), odd);
                let low = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64::<32>(odd));
                (high, low)
            }
        }
        #[inline(always)]
        fn to_f(a: __m512i) -> __m512 {
            unsafe { _mm512_cvtepi32_ps(a) }
        }
        #[inline(always)]
        fn as_f(a: __m512i) -> __m512 {
            unsafe { _mm512_castsi512_ps(a) }
        }
        #[inline(always)]
        fn as_u(a: __m512) -> __m512i {
            unsafe { _mm512_castps_si512(a) }
        }
    }
}
