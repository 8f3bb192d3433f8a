//! Burn twins.
