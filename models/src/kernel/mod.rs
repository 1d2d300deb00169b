//! Inner loops over units, compiled for several instruction sets and chosen at run time.
//!
//! All loops are element-wise in the unit and add in a fixed order over rows, and none uses fused
//! multiply-add: the scalar twin gives the same bits as the vector code.

use std::sync::atomic::{AtomicU8, Ordering};

pub(crate) mod aligned;
pub(crate) mod dynamics;
pub(crate) mod rows;

/// Instruction sets that the loops are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// What every machine of the target has.
    Scalar = 1,
    /// 256-bit vectors.
    Avx2 = 2,
    /// 512-bit vectors.
    Avx512 = 3,
}

/// 0 = not detected yet.
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// Instruction set in use.
#[inline]
#[must_use]
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        1 => Level::Scalar,
        2 => Level::Avx2,
        3 => Level::Avx512,
        _ => limit(Level::Avx512),
    }
}

/// Uses at most `highest`, and no more than the machine has; returns what is used. For benchmarks
/// and for checks of the scalar twin: results are the same for every level.
#[cold]
pub fn limit(highest: Level) -> Level {
    let level = detect().min(highest);
    LEVEL.store(level as u8, Ordering::Relaxed);
    level
}

fn detect() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
        {
            return Level::Avx512;
        }
        if is_x86_feature_detected!("avx2") {
            return Level::Avx2;
        }
    }
    Level::Scalar
}

/// Defines a function whose body is compiled once for every [`Level`] and chosen by [`level`].
macro_rules! kernel {
    ($(#[$doc:meta])* fn $name:ident[$($gen:tt)*]($($arg:ident: $ty:ty),* $(,)?) $(-> $out:ty)? $body:block) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments, reason = "inner loop over parallel arrays")]
        #[inline]
        pub(crate) fn $name<$($gen)*>($($arg: $ty),*) $(-> $out)? {
            #[allow(clippy::too_many_arguments, reason = "inner loop over parallel arrays")]
            #[inline(always)]
            fn body<$($gen)*>($($arg: $ty),*) $(-> $out)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[allow(clippy::too_many_arguments, reason = "inner loop over parallel arrays")]
                #[target_feature(enable = "avx2")]
                fn avx2<$($gen)*>($($arg: $ty),*) $(-> $out)? {
                    body($($arg),*)
                }
                #[allow(clippy::too_many_arguments, reason = "inner loop over parallel arrays")]
                #[target_feature(enable = "avx2,avx512f,avx512vl,avx512dq,avx512bw")]
                fn avx512<$($gen)*>($($arg: $ty),*) $(-> $out)? {
                    body($($arg),*)
                }
                match $crate::kernel::level() {
                    // SAFETY: `level` never exceeds what was detected on this machine.
                    $crate::kernel::Level::Avx512 => unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::kernel::Level::Avx2 => unsafe { avx2($($arg),*) },
                    $crate::kernel::Level::Scalar => body($($arg),*),
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            body($($arg),*)
        }
    };
}
pub(crate) use kernel;
