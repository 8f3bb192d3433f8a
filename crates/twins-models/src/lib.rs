//! Image classifiers with two-wing batch normalisation, and strict import of PyTorch weights.
