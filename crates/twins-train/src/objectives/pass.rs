use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::objective::{Objective, TrainingBatch};
use super::training_model::TrainingModel;

/// The length of [`Measured::scalars`].
pub(crate) const SCALARS: usize = 4;

/// One pass of an objective over a batch or a part of it, differentiated.
pub(crate) struct Pass {
    pub(crate) gradients: GradientsParams,
    pub(crate) measured: Measured,
}

/// What a pass measured, still on the device.
pub(crate) struct Measured {
    /// Total, adaptive and frozen loss (the adaptive one again where there is none), correct samples.
    pub(crate) scalars: Vec<Tensor<1>>,
    pub(crate) has_frozen: bool,
    pub(crate) samples: usize,
}

impl Pass {
    /// `share` is the part's share of the batch's samples, by which its gradients count.
    pub(crate) fn of<M: Module, O: Objective<M> + ?Sized>(
        model: &TrainingModel<M>,
        objective: &O,
        batch: &TrainingBatch,
        share: f64,
    ) -> Self {
        let loss = objective.loss_with_parameters(&model.model, &model.parameters, batch);
        let gradients = match share {
            1.0 => loss.total.backward(),
            _ => loss.total.clone().mul_scalar(share).backward(),
        };
        let gradients = GradientsParams::from_grads(gradients, model);
        let labels = batch.labels.clone();
        let predicted = loss.logits.inner().argmax(1).squeeze_dim::<1>(1);
        let correct = predicted.equal(labels.without_autodiff()).int().sum().float();
        let adaptive = loss.adaptive.inner();
        let frozen = loss.frozen.map(Tensor::inner);
        let has_frozen = frozen.is_some();
        let scalars = [loss.total.inner(), adaptive.clone(), frozen.unwrap_or(adaptive), correct];
        let measured = Measured { scalars: scalars.to_vec(), has_frozen, samples: batch.labels.dims()[0] };
        Self { gradients, measured }
    }
}
