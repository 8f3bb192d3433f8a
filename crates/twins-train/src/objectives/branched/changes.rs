use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::error::TrainError;
use crate::objectives::low_rank::{LowRank, matrix};
use crate::parameters::{Survey, is_under};
use crate::random_keys::key;

/// What the draws are for, as part of their key.
const DRAWS: u64 = 3;

/// A change of zero for every weight of rank 2 or more that is trained and stands outside the head.
pub(super) fn create<M: Module>(
    model: &M,
    survey: &Survey,
    head: &str,
    rank: usize,
    frozen: &[String],
    seed: u64,
) -> Result<BTreeMap<String, LowRank>, TrainError> {
    let mut create =
        Create { survey, head, frozen, rank, seed, path: Vec::new(), changes: Ok(BTreeMap::new()) };
    model.visit(&mut create);
    create.changes
}

struct Create<'a> {
    survey: &'a Survey,
    head: &'a str,
    frozen: &'a [String],
    rank: usize,
    seed: u64,
    path: Vec<String>,
    changes: Result<BTreeMap<String, LowRank>, TrainError>,
}

impl ModuleVisitor for Create<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        let mut excluded = self.frozen.iter().map(String::as_str).chain([self.head]);
        if D < 2 || !self.survey.trainable.contains(&path) || excluded.any(|prefix| is_under(&path, prefix)) {
            return;
        }
        let Ok(changes) = &mut self.changes else { return };
        let weight = param.val();
        let matrix = matrix(&weight.dims());
        if self.rank > matrix[0].min(matrix[1]) {
            self.changes = Err(TrainError::BranchRank { rank: self.rank, path, matrix });
            return;
        }
        let seed = key(self.seed, &[DRAWS, changes.len() as u64]);
        changes.insert(path, LowRank::zero(&weight, self.rank, seed));
    }
}

/// Returns the model with the changes added to its weights, and all parameters outside the head detached.
pub(super) fn apply<M: Module>(model: M, changes: &BTreeMap<String, LowRank>, head: Option<&str>) -> M {
    model.map(&mut View { changes, head, path: Vec::new() })
}

struct View<'a> {
    changes: &'a BTreeMap<String, LowRank>,
    head: Option<&'a str>,
    path: Vec<String>,
}

impl ModuleMapper for View<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        if self.head.is_some_and(|head| is_under(&path, head)) {
            return param;
        }
        param.map(|weight| {
            let weight = weight.detach();
            match self.changes.get(&path) {
                Some(change) => weight.clone() + change.change(weight.dims()),
                None => weight,
            }
        })
    }
}
