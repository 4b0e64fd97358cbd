//! Logs by defmt, or nothing without the feature.

/// Something worth knowing.
macro_rules! info {
    ($($argument:tt)*) => {{
        #[cfg(feature = "defmt")]
        defmt::info!($($argument)*);
        #[cfg(not(feature = "defmt"))]
        $crate::log::unused!($($argument)*);
    }};
}

/// Something that went wrong.
macro_rules! warn_ {
    ($($argument:tt)*) => {{
        #[cfg(feature = "defmt")]
        defmt::warn!($($argument)*);
        #[cfg(not(feature = "defmt"))]
        $crate::log::unused!($($argument)*);
    }};
}

/// Uses a log's values, so that they need no second declaration.
#[cfg(not(feature = "defmt"))]
macro_rules! unused {
    ($text:literal $(, $value:expr)*) => {
        $( let _ = &$value; )*
    };
}

pub(crate) use info;
#[cfg(not(feature = "defmt"))]
pub(crate) use unused;
pub(crate) use warn_ as warn;
