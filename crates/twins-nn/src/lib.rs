//! Two-wing batch normalisation (TWINS) for Burn models.
