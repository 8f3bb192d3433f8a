//! Adversarial attacks on any Burn classifier.
