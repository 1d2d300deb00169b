//! Noise as a pure function of (noise seed, trial, neuron, purpose, index).
//!
//! Philox4x32-10 (Salmon et al., SC 2011) turns a 128-bit counter into four words; each word gives
//! two normal numbers by Box–Muller: 16 bits for the radius (tail cut at 4.9 σ), 16 bits for the
//! angle. Logarithm, sine and cosine are own polynomials of fused multiply-adds, the same in the
//! scalar and the vector code, so the bits are the same on every machine.

use super::lanes::{Lanes, WIDTH};

const M0: u32 = 0xD251_1F53;
const M1: u32 = 0xCD9E_8D57;
const W0: u32 = 0x9E37_79B9;
const W1: u32 = 0xBB67_AE85;

/// What noise is for; the top byte of the last counter word. Never renumber.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum NoiseOf {
    Sample = 1 << 24,
    Threshold = 2 << 24,
    Jitter = 3 << 24,
    SampleClock = 4 << 24,
    Stall = 5 << 24,
}

/// Philox4x32-10.
pub(crate) fn philox(mut c: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let (p0, p1) = (u64::from(c[0]) * u64::from(M0), u64::from(c[2]) * u64::from(M1));
        c = [
            (p1 >> 32) as u32 ^ c[1] ^ key[0],
            p1 as u32,
            (p0 >> 32) as u32 ^ c[3] ^ key[1],
            p0 as u32,
        ];
        key = [key[0].wrapping_add(W0), key[1].wrapping_add(W1)];
    }
    c
}

/// Philox4x32-10 of sixteen counters that differ in their third word.
#[inline(always)]
pub(crate) fn philox_lanes<L: Lanes>(
    key: [u32; 2],
    trial: u64,
    third: L::U,
    fourth: u32,
) -> [L::U; 4] {
    let mut c =
        [L::splat_u(trial as u32), L::splat_u((trial >> 32) as u32), third, L::splat_u(fourth)];
    let mut key = key;
    let mut round = 0;
    while round < 10 {
        let (h0, l0) = L::mulhilo(c[0], M0);
        let (h1, l1) = L::mulhilo(c[2], M1);
        c = [
            L::xor(L::xor(h1, c[1]), L::splat_u(key[0])),
            l1,
            L::xor(L::xor(h0, c[3]), L::splat_u(key[1])),
            l0,
        ];
        key = [key[0].wrapping_add(W0), key[1].wrapping_add(W1)];
        round += 1;
    }
    c
}

const LN2: f32 = core::f32::consts::LN_2;

/// Two standard normal numbers a lane from one uniform word a lane.
#[inline(always)]
pub(crate) fn normals<L: Lanes>(word: L::U) -> (L::F, L::F) {
    let half = L::splat(0.5);
    // Radius: sqrt(−2 ln u), u = (k + ½) / 65536, k the upper half.
    let u = L::mul(L::add(L::to_f(L::shr::<16>(word)), half), L::splat(1.0 / 65536.0));
    let radius = L::sqrt(L::mul(L::splat(-2.0), ln::<L>(u)));
    // Angle: the lower half is (two bits of quadrant, 14 bits inside it), centred.
    let low = L::and(word, L::splat_u(0xffff));
    let inside = L::add(L::to_f(L::and(low, L::splat_u(0x3fff))), half);
    let t = L::fma(inside, L::splat(1.0 / 16384.0), L::splat(-0.5));
    let (sin, cos) = sincos_quarter::<L>(t);
    // Turn by the quadrant: swap where it is odd, flip signs.
    let odd = L::gt(L::to_f(L::and(low, L::splat_u(0x4000))), half);
    let (a, b) = (L::select(odd, sin, cos), L::select(odd, cos, sin));
    let sign_b = L::shl::<16>(L::and(low, L::splat_u(0x8000)));
    let turned = L::xor(low, L::shl::<1>(L::and(low, L::splat_u(0x4000))));
    let sign_a = L::shl::<16>(L::and(turned, L::splat_u(0x8000)));
    let a = L::as_f(L::xor(L::as_u(a), sign_a));
    let b = L::as_f(L::xor(L::as_u(b), sign_b));
    (L::mul(radius, a), L::mul(radius, b))
}

/// ln(x) for x in [2⁻³⁰, 1], relative error about 3e-7: exponent, and a polynomial of the mantissa in
/// [√½, √2).
#[inline(always)]
fn ln<L: Lanes>(x: L::F) -> L::F {
    let bits = L::as_u(x);
    // The exponent plus 32, split at √½ so that the polynomial's argument is centred.
    let biased = L::shr::<23>(L::sub_u(bits, L::splat_u(0x3f35_04f3 - (32 << 23))));
    let scale = L::sub_u(L::shl::<23>(biased), L::splat_u(32 << 23));
    let mantissa = L::as_f(L::sub_u(bits, scale));
    let f = L::sub(mantissa, L::splat(1.0));
    // Coefficients: Cephes logf (public domain), error 1e-7 on this interval.
    let mut p = L::splat(7.037_683_6e-2);
    p = L::fma(p, f, L::splat(-1.151_461_e-1));
    p = L::fma(p, f, L::splat(1.167_699_9e-1));
    p = L::fma(p, f, L::splat(-1.242_014_1e-1));
    p = L::fma(p, f, L::splat(1.424_932_3e-1));
    p = L::fma(p, f, L::splat(-1.666_805_8e-1));
    p = L::fma(p, f, L::splat(2.000_071_5e-1));
    p = L::fma(p, f, L::splat(-2.499_999_4e-1));
    p = L::fma(p, f, L::splat(3.333_333e-1));
    let f2 = L::mul(f, f);
    let y = L::fma(L::mul(p, f2), f, L::fma(L::splat(-0.5), f2, f));
    L::fma(L::sub(L::to_f(biased), L::splat(32.0)), L::splat(LN2), y)
}

/// Sine and cosine of `(t + ½) · π/2` for `t` in [−½, ½]: by the angle sum with π/4, so that both
/// are short polynomials. Error below 3e-7.
#[inline(always)]
fn sincos_quarter<L: Lanes>(t: L::F) -> (L::F, L::F) {
    let x = L::mul(t, L::splat(core::f32::consts::FRAC_PI_2));
    let z = L::mul(x, x);
    // Taylor coefficients; |x| <= π/4.
    let mut s = L::splat(2.755_731_9e-6);
    s = L::fma(s, z, L::splat(-1.984_127e-4));
    s = L::fma(s, z, L::splat(8.333_333e-3));
    s = L::fma(s, z, L::splat(-0.166_666_67));
    let s = L::fma(L::mul(s, z), x, x);
    let mut c = L::splat(2.480_158_7e-5);
    c = L::fma(c, z, L::splat(-1.388_888_9e-3));
    c = L::fma(c, z, L::splat(4.166_666_8e-2));
    c = L::fma(c, z, L::splat(-0.5));
    let c = L::fma(c, z, L::splat(1.0));
    let root = L::splat(core::f32::consts::FRAC_1_SQRT_2);
    (L::mul(root, L::add(c, s)), L::mul(root, L::sub(c, s)))
}

/// The noise of one chip in one run of its life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    key: [u32; 2],
}

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32] }
    }

    /// Eight normal numbers for each of sixteen neurons; `group` counts groups of eight.
    #[inline(always)]
    pub(crate) fn words<L: Lanes>(
        self,
        of: NoiseOf,
        trial: u64,
        neurons: &[u32; WIDTH],
        group: u32,
    ) -> [L::U; 4] {
        philox_lanes::<L>(self.key, trial, L::load_u(neurons), of as u32 | group)
    }

    /// Four uniform words for one neuron.
    #[inline(always)]
    pub(crate) fn bits(self, of: NoiseOf, trial: u64, neuron: u32, index: u32) -> [u32; 4] {
        philox(
            [trial as u32, (trial >> 32) as u32, neuron, of as u32 | (index & 0xff_ffff)],
            self.key,
        )
    }

    /// One standard normal number for one neuron.
    #[inline(always)]
    pub(crate) fn normal(self, of: NoiseOf, trial: u64, neuron: u32, index: u32) -> f32 {
        let word = self.bits(of, trial, neuron, index / 8)[(index % 8 / 2) as usize];
        let (a, b) = normals::<One>(word);
        if index.is_multiple_of(2) { a } else { b }
    }
}

/// One lane: the scalar twin.
struct One;

impl Lanes for One {
    type F = f32;
    type U = u32;
    #[inline(always)]
    fn splat(x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn load(x: &[f32; WIDTH]) -> f32 {
        x[0]
    }
    #[inline(always)]
    fn store(x: f32) -> [f32; WIDTH] {
        [x; WIDTH]
    }
    #[inline(always)]
    fn add(a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    fn sub(a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    fn mul(a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn fnma(a: f32, b: f32, c: f32) -> f32 {
        (-a).mul_add(b, c)
    }
    #[inline(always)]
    fn max(a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
    #[inline(always)]
    fn min(a: f32, b: f32) -> f32 {
        if a < b { a } else { b }
    }
    #[inline(always)]
    fn sqrt(a: f32) -> f32 {
        a.sqrt()
    }
    #[inline(always)]
    fn gt(a: f32, b: f32) -> u16 {
        u16::from(a > b)
    }
    #[inline(always)]
    fn select(mask: u16, a: f32, b: f32) -> f32 {
        if mask & 1 == 1 { a } else { b }
    }
    #[inline(always)]
    fn to_u16(a: f32) -> [u16; WIDTH] {
        [a as i32 as u16; WIDTH]
    }
    #[inline(always)]
    fn splat_u(x: u32) -> u32 {
        x
    }
    #[inline(always)]
    fn load_u(x: &[u32; WIDTH]) -> u32 {
        x[0]
    }
    #[inline(always)]
    fn xor(a: u32, b: u32) -> u32 {
        a ^ b
    }
    #[inline(always)]
    fn and(a: u32, b: u32) -> u32 {
        a & b
    }
    #[inline(always)]
    fn sub_u(a: u32, b: u32) -> u32 {
        a.wrapping_sub(b)
    }
    #[inline(always)]
    fn shr<const N: u32>(a: u32) -> u32 {
        a >> N
    }
    #[inline(always)]
    fn shl<const N: u32>(a: u32) -> u32 {
        a << N
    }
    #[inline(always)]
    fn mulhilo(a: u32, b: u32) -> (u32, u32) {
        (((u64::from(a) * u64::from(b)) >> 32) as u32, a.wrapping_mul(b))
    }
    #[inline(always)]
    fn to_f(a: u32) -> f32 {
        a as i32 as f32
    }
    #[inline(always)]
    fn as_f(a: u32) -> f32 {
        f32::from_bits(a)
    }
    #[inline(always)]
    fn as_u(a: f32) -> u32 {
        a.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::lanes::Array;

    #[test]
    fn philox_gives_the_published_vectors() {
        // Known answers of the Random123 distribution.
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let ones = u32::MAX;
        assert_eq!(
            philox([ones; 4], [ones; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let expected = [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1];
        assert_eq!(philox(pi, [0xa409_3822, 0x299f_31d0]), expected);
    }

    #[test]
    fn lanes_and_single_numbers_agree_bit_for_bit() {
        let noise = Noise::new(0x0123_4567_89ab_cdef);
        let neurons = core::array::from_fn(|l| 3 * l as u32);
        let trial = 5 << 40 | 77;
        for group in 0..40 {
            let words = noise.words::<Array>(NoiseOf::Sample, trial, &neurons, group);
            for (w, word) in words.iter().enumerate() {
                let (a, b) = normals::<Array>(*word);
                for l in 0..WIDTH {
                    let index = 8 * group + 2 * w as u32;
                    let single = |i| noise.normal(NoiseOf::Sample, trial, neurons[l], i);
                    assert_eq!(a[l].to_bits(), single(index).to_bits());
                    assert_eq!(b[l].to_bits(), single(index + 1).to_bits());
                }
            }
        }
    }

    #[test]
    fn every_radius_and_angle_is_that_of_the_exact_functions() {
        for k in 0..=u16::MAX {
            // All radii at one angle, all angles at one radius.
            for word in [u32::from(k) << 16 | 0x1234, 0x8000_0000 | u32::from(k)] {
                let (a, b) = normals::<One>(word);
                let u = (f64::from(word >> 16) + 0.5) / 65536.0;
                let radius = (-2.0 * u.ln()).sqrt();
                let angle = (f64::from(word & 0xffff) + 0.5) / 65536.0 * core::f64::consts::TAU;
                assert!((f64::from(a) - radius * angle.cos()).abs() < 3e-6, "{word:x} {a}");
                assert!((f64::from(b) - radius * angle.sin()).abs() < 3e-6, "{word:x} {b}");
            }
        }
    }

    #[test]
    fn noise_is_standard_normal() {
        let noise = Noise::new(9);
        let n = 200_000_u32;
        let (mut m1, mut m2, mut m4) = (0.0, 0.0, 0.0);
        for k in 0..n {
            let z = f64::from(noise.normal(NoiseOf::Jitter, u64::from(k / 100), k % 7, k % 100));
            m1 += z;
            m2 += z * z;
            m4 += z * z * z * z;
        }
        let n = f64::from(n);
        // Three standard errors: 1/√n, √2/√n, √96/√n.
        assert!((m1 / n).abs() < 3.0 / n.sqrt());
        assert!((m2 / n - 1.0).abs() < 3.0 * 2.0_f64.sqrt() / n.sqrt());
        assert!((m4 / n - 3.0).abs() < 3.0 * 96.0_f64.sqrt() / n.sqrt());
    }
}
