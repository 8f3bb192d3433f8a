//! Adversarial fine-tuning of Burn classifiers.
