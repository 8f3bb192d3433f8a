//! What clones of a model share, and what they do not.

use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor, TensorData};
use twins_nn::{TwinsBatchNorm, TwinsBatchNormConfig, TwinsModule, Wing};

fn batch(device: &Device) -> Tensor<4> {
    let values: Vec<f32> = (0..6 * 2 * 4 * 4).map(|place| (place * 37 % 101) as f32 / 50.0 - 1.0).collect();
    Tensor::from_data(TensorData::new(values, [6, 2, 4, 4]), device)
}

/// Gamma, beta, running statistics and the frozen wing, as a checkpoint holds them.
fn values(norm: &TwinsBatchNorm) -> Vec<f32> {
    let norm = norm.valid();
    let [frozen_gamma, frozen_beta] =
        [&norm.frozen_gamma, &norm.frozen_beta].map(|param| param.as_ref().unwrap().val());
    let (running_mean, running_var) = (norm.running_mean.value(), norm.running_var.value());
    let frozen = [norm.frozen_mean.val(), norm.frozen_var.val(), frozen_gamma, frozen_beta];
    let all = [norm.gamma.val(), norm.beta.val(), running_mean, running_var].into_iter().chain(frozen);
    all.flat_map(|tensor| tensor.try_into_vec_as::<f32>().unwrap()).collect()
}

#[test]
fn the_wing_of_a_clone_is_its_own() {
    let device = Device::flex().autodiff();
    let norm = TwinsBatchNormConfig::new(2).init(&device).with_wing(Wing::Adaptive);
    let before = norm.forward(batch(&device)).into_data();
    for wing in [Wing::Frozen, Wing::Split, Wing::AdaptiveTraining, Wing::Adaptive] {
        let clone = norm.clone().with_wing(wing);
        assert_eq!((clone.wing(), norm.wing()), (wing, Wing::Adaptive));
    }
    assert_eq!(norm.forward(batch(&device)).into_data(), before);
}

#[test]
fn a_copy_that_trains_changes_nothing_of_the_other() {
    let device = Device::flex().autodiff();
    let norm = TwinsBatchNormConfig::new(2).init(&device);
    let before = values(&norm);
    for wing in [Wing::AdaptiveTraining, Wing::Split] {
        let copy = norm.valid().train().with_wing(wing);
        drop(copy.forward(batch(&device)));
        assert_ne!(values(&copy), before, "{wing:?}: the copy has new running statistics");
        assert_eq!(values(&norm), before, "{wing:?}");
    }
}

/// This is how Burn's running statistics behave. If it changes, the notes in the documentation of the layer must too.
#[test]
fn a_plain_clone_shares_the_running_statistics_and_nothing_else() {
    let device = Device::flex().autodiff();
    let norm = TwinsBatchNormConfig::new(2).init(&device);
    let clone = norm.clone().with_wing(Wing::Split);
    drop(clone.forward(batch(&device)));
    assert_eq!(values(&norm), values(&clone));
    let fresh = values(&TwinsBatchNormConfig::new(2).init(&device));
    let changed: Vec<usize> =
        (0..fresh.len()).filter(|&place| values(&norm)[place] != fresh[place]).collect();
    // Running mean and variance of the two channels, after gamma and beta.
    assert_eq!(changed, [4, 5, 6, 7]);
}

#[test]
fn a_step_of_the_optimiser_changes_one_clone_alone() {
    let device = Device::flex().autodiff();
    let norm = TwinsBatchNormConfig::new(2).init(&device);
    for (clone, shared) in [(norm.valid().train(), 0), (norm.clone(), 4)] {
        let before = values(&norm);
        let clone = clone.with_wing(Wing::Split);
        let loss = clone.forward(batch(&device)).powi_scalar(2).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &clone);
        let clone = SgdConfig::new().init().step(0.1, clone, gradients);
        let (kept, changed) = (values(&norm), values(&clone));
        let differing = |other: &[f32]| (0..kept.len()).filter(|&place| kept[place] != other[place]).count();
        // Nothing, or the running mean and variance of the two channels.
        assert_eq!(differing(&before), shared);
        // Gamma and beta of the two channels in both wings have moved.
        assert!(differing(&changed) >= 8, "{changed:?}");
        assert!(kept[..4] == before[..4] && kept[8..] == before[8..]);
    }
}

#[test]
fn copies_that_train_in_several_threads_get_the_values_of_one_that_trains_alone() {
    let device = Device::flex().autodiff();
    let norm = TwinsBatchNormConfig::new(2).init(&device);
    let train = |wing: Wing| {
        let copy = norm.valid().train().with_wing(wing);
        (0..20).for_each(|_| drop(copy.forward(batch(&device))));
        values(&copy)
    };
    let wings = [Wing::AdaptiveTraining, Wing::Split];
    let alone = wings.map(train);
    assert_ne!(alone[0], alone[1]);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|at| scope.spawn(move || train(wings[at % 2]))).collect();
        for (at, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), alone[at % 2]);
        }
    });
}
