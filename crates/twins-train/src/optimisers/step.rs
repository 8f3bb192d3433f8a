use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, Transaction};
use twins_nn::{TwinsModule, Wing};

use super::awp::perturbed;
use super::gradient_norms::SquaredNorms;
use super::optimiser::{Optimiser, optimise};
use crate::error::TrainError;
use crate::metrics::StepReport;
use crate::objectives::{Measured, Objective, Pass, SCALARS, TrainingBatch, TrainingModel};

/// The settings of a training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepSettings {
    /// The learning rate.
    pub learning_rate: f64,
    /// Largest Euclidean norm of the whole gradient, as in `torch.nn.utils.clip_grad_norm_`; `None` for no clipping.
    pub gradient_clip: Option<f64>,
    /// Length of the adversarial weight perturbation ([`AwpConfig`](crate::AwpConfig)); `None` for no perturbation.
    pub awp_gamma: Option<f64>,
}

impl StepSettings {
    /// Creates settings without clipping and without weight perturbation.
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, gradient_clip: None, awp_gamma: None }
    }

    /// Sets the largest norm of the whole gradient.
    #[must_use]
    pub fn with_gradient_clip(mut self, largest: f64) -> Self {
        self.gradient_clip = Some(largest);
        self
    }

    /// Sets the length of the adversarial weight perturbation.
    #[must_use]
    pub fn with_awp_gamma(mut self, gamma: f64) -> Self {
        self.awp_gamma = Some(gamma);
        self
    }
}

/// Makes one training step: computes the loss and its gradients, and updates the model. If the loss or a gradient is not
/// finite (see [`StepReport::non_finite`]), the step is skipped. The model, including its running statistics, and the
/// optimiser then remain unchanged.
///
/// Switch the model to the objective's wing first: `model.with_wing(objective.wing())`. Layers whose statistics must
/// not change, as in a linear probe, may use [`Wing::Adaptive`] or [`Wing::Frozen`] instead.
///
/// This function does not train parameters of the objective; use [`step_with_parameters`] for those.
///
/// With a weight perturbation, the loss, its gradients and the running statistics are computed at the perturbed weights,
/// while the update, including weight decay, starts from the original weights. A skipped step does not preserve a gradient
/// checkpointing strategy of the parameters.
///
/// # Errors
///
/// [`TrainError::NoAutodiff`] if the model or the batch is on a device without autodiff, where layers neither use batch
/// statistics nor split the batch between the wings; [`TrainError::OtherWing`] if a layer uses another training wing than
/// the objective, or if the objective uses [`Wing::Split`] and no layer does; [`TrainError::NoTwinsLayers`] if such an
/// objective is used with a model without two-wing layers.
///
/// # Panics
///
/// If a part of the objective's [`Loss`](crate::Loss) is not one value, or its logits do not have one row for each sample.
pub fn step<M: Module, O: Objective<M> + ?Sized>(
    model: M,
    objective: &O,
    optimiser: &mut dyn Optimiser,
    batch: &TrainingBatch,
    settings: &StepSettings,
) -> Result<(M, StepReport), TrainError> {
    let (trained, report) = step_with_parameters(model.into(), objective, optimiser, batch, settings)?;
    Ok((trained.model, report))
}

/// Like [`step`], for a model with the parameters of its objective ([`Objective::parameters`]).
///
/// # Errors
///
/// The errors of [`step`].
///
/// # Panics
///
/// Like [`step`].
pub fn step_with_parameters<M: Module, O: Objective<M> + ?Sized>(
    model: TrainingModel<M>,
    objective: &O,
    optimiser: &mut dyn Optimiser,
    batch: &TrainingBatch,
    settings: &StepSettings,
) -> Result<(TrainingModel<M>, StepReport), TrainError> {
    check_autodiff(&model, batch)?;
    check_wings(&model, objective.wing())?;
    Ok(checked_step(model, objective, optimiser, batch, settings))
}

fn check_autodiff<M: Module>(model: &M, batch: &TrainingBatch) -> Result<(), TrainError> {
    /// Whether any parameter has autodiff.
    struct Tracked(bool);

    impl ModuleVisitor for Tracked {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 |= param.lazy_device().is_autodiff();
        }
    }

    let mut tracked = Tracked(false);
    model.visit(&mut tracked);
    let parts = [
        ("the model", tracked.0),
        ("batch.clean", batch.clean.is_autodiff()),
        ("batch.adversarial", batch.adversarial.is_autodiff()),
    ];
    match parts.into_iter().find(|(_, tracked)| !tracked) {
        None => Ok(()),
        Some((what, _)) => Err(TrainError::NoAutodiff { what }),
    }
}

fn check_wings<M: Module>(model: &M, expected: Wing) -> Result<(), TrainError> {
    let trains = |wing: Wing| matches!(wing, Wing::AdaptiveTraining | Wing::Split);
    let wings = model.wings();
    if let Some((layer, found)) = wings.iter().find(|(_, wing)| trains(**wing) && **wing != expected) {
        return Err(TrainError::OtherWing { layer: layer.clone(), found: *found, expected });
    }
    if expected != Wing::Split || wings.values().any(|wing| *wing == Wing::Split) {
        return Ok(());
    }
    Err(match wings.into_iter().next() {
        Some((layer, found)) => TrainError::OtherWing { layer, found, expected },
        None => TrainError::NoTwinsLayers,
    })
}

/// Like [`step_with_parameters`], for a model and a batch that have been checked.
pub(crate) fn checked_step<M: Module, O: Objective<M> + ?Sized>(
    model: TrainingModel<M>,
    objective: &O,
    optimiser: &mut dyn Optimiser,
    batch: &TrainingBatch,
    settings: &StepSettings,
) -> (TrainingModel<M>, StepReport) {
    // valid() gives the copy separate running statistics.
    let before = model.valid();
    let moved = settings.awp_gamma.map(|gamma| perturbed(&model, &before, objective, batch, gamma));
    let differentiated = moved.as_ref().unwrap_or(&model);
    let Pass { gradients, measured } = Pass::of(differentiated, objective, batch, 1.0);
    drop(moved);
    let mut report = report(&model, &gradients, &[measured]);
    report.seek_origin(&before);
    if report.non_finite().is_some() {
        return (before.train(), report);
    }
    // While this copy exists, the weights cannot be updated in place.
    drop(before);
    (update(model, &gradients, &report, optimiser, settings), report)
}

/// Combines the measurements of the passes over a batch or its parts. `gradients` are those of the whole batch.
pub(crate) fn report<M: Module>(model: &M, gradients: &GradientsParams, passes: &[Measured]) -> StepReport {
    let norms = SquaredNorms::of(model, gradients);
    // One transfer reads all values that the host needs, each from a separate buffer. CubeCL's backends report a failed
    // allocation only when a value that depends on it is read, and in a common buffer, later values that succeed hide the
    // failure.
    let scalars = passes.iter().flat_map(|pass| pass.scalars.clone()).chain(norms.values);
    let transfer = scalars.fold(Transaction::default(), Transaction::register);
    let values: Vec<f64> =
        transfer.execute().iter().flat_map(|data| data.iter::<f64>().collect::<Vec<_>>()).collect();
    let (scalars, squares) = values.split_at(SCALARS * passes.len());
    let samples = passes.iter().map(|pass| pass.samples).sum();
    let scalars = || scalars.chunks(SCALARS).zip(passes);
    let mean = |place: usize| -> f64 {
        scalars().map(|(values, pass)| values[place] * (pass.samples as f64 / samples as f64)).sum()
    };
    StepReport {
        loss: mean(0),
        frozen_loss: passes.iter().all(|pass| pass.has_frozen).then(|| mean(2)),
        adaptive_loss: mean(1),
        correct: scalars().map(|(values, _)| values[3] as usize).sum(),
        samples,
        gradient_norm: squares.iter().sum::<f64>().sqrt(),
        gradient_norms: norms.paths.into_iter().zip(squares.iter().map(|square| square.sqrt())).collect(),
        non_finite_parameter: None,
    }
}

/// Makes the optimiser's step with clipped gradients.
pub(crate) fn update<M: Module>(
    model: M,
    gradients: &GradientsParams,
    report: &StepReport,
    optimiser: &mut dyn Optimiser,
    settings: &StepSettings,
) -> M {
    // The 1e-6 below is the same as in PyTorch.
    let clip = settings.gradient_clip;
    let scale = clip.map_or(1.0, |largest| (largest / (report.gradient_norm + 1e-6)).min(1.0));
    optimise(optimiser, model, gradients, settings.learning_rate, scale)
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;
    use twins_nn::{TwinsBatchNorm, TwinsBatchNormConfig};

    use super::*;
    use crate::objectives::{At, Loss, TwinsAt};
    use crate::optimisers::Sgd;
    use twins_nn::ImageClassifier;

    #[derive(Module, Debug)]
    struct Net {
        norms: Vec<TwinsBatchNorm>,
        head: Linear,
    }

    impl ImageClassifier for Net {
        fn logits(&self, images: Tensor<4>) -> Tensor<2> {
            let x = self.norms.iter().fold(images, |x, norm| norm.forward(x));
            self.head.forward(x.flatten(1, 3))
        }
    }

    fn net(norms: usize, device: &Device) -> Net {
        Net {
            norms: (0..norms).map(|_| TwinsBatchNormConfig::new(3).init(device)).collect(),
            head: LinearConfig::new(12, 2).init(device),
        }
    }

    fn batch(device: &Device) -> TrainingBatch {
        let images =
            Tensor::<1>::from_floats(std::array::from_fn::<f32, 48, _>(|i| (i * 7 % 11) as f32), device);
        let images = images.reshape([4, 3, 2, 2]);
        TrainingBatch::new(images.clone(), images, Tensor::from_ints([0, 1, 1, 0], device))
    }

    fn refused<O: Objective<Net>>(net: Net, objective: O, batch: &TrainingBatch) -> TrainError {
        let mut optimiser = Sgd::new(0.0, 0.0);
        step(net, &objective, &mut optimiser, batch, &StepSettings::new(0.1)).unwrap_err()
    }

    #[test]
    fn a_device_without_autodiff_is_refused() {
        let (plain, tracked) = (Device::flex(), Device::flex().autodiff());
        for (model, images, expected) in [
            (&plain, &plain, "the model"),
            (&plain, &tracked, "the model"),
            (&tracked, &plain, "batch.clean"),
        ] {
            let net = net(1, model).with_wing(Wing::Split);
            let error = refused(net, TwinsAt { lambda: 1.0 }, &batch(images));
            assert!(matches!(error, TrainError::NoAutodiff { what } if what == expected), "{error}");
        }
        let error = refused(net(1, &plain), At, &batch(&plain));
        assert!(error.to_string().contains("device.autodiff()"), "{error}");
    }

    #[test]
    fn a_model_in_another_wing_is_refused() {
        let device = Device::flex().autodiff();
        let twins = TwinsAt { lambda: 1.0 };
        // Forgotten: one wing would take the whole batch, and the losses of both halves be its own.
        for wing in [Wing::AdaptiveTraining, Wing::Adaptive, Wing::Frozen] {
            let message = refused(net(2, &device).with_wing(wing), twins, &batch(&device)).to_string();
            assert!(message.contains(&format!("\"norms.0\" runs Wing::{wing:?}")), "{message}");
            assert!(message.contains("with_wing(objective.wing())"), "{message}");
        }
        let error = refused(net(1, &device).with_wing(Wing::Split), At, &batch(&device));
        assert!(matches!(error, TrainError::OtherWing { expected: Wing::AdaptiveTraining, .. }), "{error}");
        assert!(matches!(refused(net(0, &device), twins, &batch(&device)), TrainError::NoTwinsLayers));
    }

    /// The sum of the first logit.
    struct FirstLogit;

    impl Objective<Net> for FirstLogit {
        fn loss(&self, model: &Net, batch: &TrainingBatch) -> Loss {
            let logits = model.logits(batch.clean.clone());
            let total = logits.clone().narrow(1, 0, 1).sum();
            Loss { adaptive: total.clone(), total, frozen: None, logits }
        }
    }

    #[test]
    fn clipping_limits_the_norm_of_the_whole_gradient() {
        let device = Device::flex().autodiff();
        // The first pixel of four images is 0.75: the gradient is 3 for the first weight, 4 for the first bias, and 0
        // for all others. Its norm is 5.
        let images = Tensor::<4>::zeros([4, 3, 2, 2], &device);
        let images = images.slice_fill([0..4, 0..1, 0..1, 0..1], 0.75);
        let batch = TrainingBatch::new(images.clone(), images, Tensor::from_ints([0, 1, 1, 0], &device));
        let first = |net: &Net| {
            let bias = net.head.bias.as_ref().expect("it has one").val();
            [net.head.weight.val().into_data(), bias.into_data()]
                .map(|data| data.iter::<f32>().next().expect("it has values"))
        };
        for (gradient_clip, factor) in [(None, 1.0_f32), (Some(2.5), 0.5), (Some(20.0), 1.0)] {
            let net = net(0, &device);
            let before = first(&net);
            let settings = StepSettings { gradient_clip, ..StepSettings::new(0.1) };
            let (net, report) = step(net, &FirstLogit, &mut Sgd::new(0.0, 0.0), &batch, &settings).unwrap();
            assert_eq!(report.gradient_norm, 5.0);
            for ((before, after), gradient) in before.into_iter().zip(first(&net)).zip([3.0, 4.0]) {
                // Float32 rounding of values below 1, and PyTorch's 1e-6 beside the norm.
                let update = before - after;
                assert!((update - 0.1 * factor * gradient).abs() < 1e-6, "{gradient_clip:?}: {update}");
            }
        }
    }

    /// The sum of the logits of each image.
    struct EachImage;

    impl Objective<Net> for EachImage {
        fn loss(&self, model: &Net, batch: &TrainingBatch) -> Loss {
            let logits = model.logits(batch.clean.clone());
            let total = logits.clone().sum_dim(1).squeeze_dim::<1>(1);
            Loss { adaptive: total.clone(), total, frozen: None, logits }
        }
    }

    #[test]
    #[should_panic(expected = "Loss::total of the objective has 4 values; return one value")]
    fn a_loss_for_each_image_is_refused() {
        let device = Device::flex().autodiff();
        let mut optimiser = Sgd::new(0.0, 0.0);
        let _ = step(net(0, &device), &EachImage, &mut optimiser, &batch(&device), &StepSettings::new(0.1));
    }

    #[test]
    fn layers_that_keep_their_statistics_may_rest() {
        let device = Device::flex().autodiff();
        let mut net = net(2, &device).with_wing(Wing::Split);
        net.norms[0] = net.norms[0].clone().with_wing(Wing::Adaptive);
        let mut optimiser = Sgd::new(0.0, 0.0);
        let settings = StepSettings::new(0.1);
        let (_, report) =
            step(net, &TwinsAt { lambda: 1.0 }, &mut optimiser, &batch(&device), &settings).unwrap();
        assert!(report.frozen_loss.is_some());
    }
}
