//! The attacks, one folder each.

pub(crate) mod apgd;
pub(crate) mod fab;
pub(crate) mod pgd;
pub(crate) mod restarts;
pub(crate) mod square;
pub(crate) mod worst_case;
