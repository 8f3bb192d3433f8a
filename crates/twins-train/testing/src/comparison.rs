use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use safetensors::SafeTensors;
use twins_train::Weights;

/// The largest difference between two models, relative to the largest value of its tensor, and the path of that tensor. It is NaN if one of
/// the values is NaN.
pub fn difference<M: Module>(a: &M, b: &M) -> (f32, String) {
    let (a, b) = (Weights::of(a), Weights::of(b));
    assert_eq!(a.tensors().keys().collect::<Vec<_>>(), b.tensors().keys().collect::<Vec<_>>());
    let pairs = a.tensors().iter().map(|(path, a)| {
        let values = |data: &burn::tensor::TensorData| data.try_to_vec::<f32>().unwrap();
        let (a, b) = (values(a), values(&b.tensors()[path]));
        let largest = a.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
        let off = twins_testing::difference(&a, &b);
        (off / largest, path.clone())
    });
    pairs.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

/// The tensors of a checkpoint's bytes.
pub fn tensors(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    file.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect()
}

/// The tensors of a run's state: weights, running statistics and momentum.
pub fn state(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut state = tensors(&std::fs::read(run.join("last.safetensors")).unwrap());
    // A run that has been validated also has its best weights.
    state.retain(|name, _| !name.starts_with("best/"));
    state
}
