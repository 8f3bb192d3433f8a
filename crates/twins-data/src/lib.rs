//! Image data sets for training and attacking Burn classifiers.
