//! Cross-crate tests of SpikeLoop; see the `tests` folder.
