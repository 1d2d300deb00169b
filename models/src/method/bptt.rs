//! Back-propagation through time.
