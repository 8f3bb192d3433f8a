use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::objective::{Loss, Objective, TrainingBatch};
use super::training_model::TrainingModel;

/// The length of [`Measured::scalars`].
pub(crate) const SCALARS: usize = 4;

/// One pass of an objective over a batch or a part of it, with its gradients.
pub(crate) struct Pass {
    pub(crate) gradients: GradientsParams,
    pub(crate) measured: Measured,
}

/// The measurements of a pass, still on the device.
pub(crate) struct Measured {
    /// The total, adaptive and frozen loss, and the number of correct samples. Without a frozen loss, the adaptive loss
    /// takes its place.
    pub(crate) scalars: Vec<Tensor<1>>,
    pub(crate) has_frozen: bool,
    pub(crate) samples: usize,
}

impl Pass {
    /// Computes and differentiates the objective. `share` is the part's fraction of the batch's samples, with which its
    /// gradients are weighted.
    ///
    /// # Panics
    ///
    /// If a part of the loss is not one value, or the number of rows of its logits is not that of the samples.
    pub(crate) fn of<M: Module, O: Objective<M> + ?Sized>(
        model: &TrainingModel<M>,
        objective: &O,
        batch: &TrainingBatch,
        share: f64,
    ) -> Self {
        let loss = objective.loss_with_parameters(&model.model, &model.parameters, batch);
        check_shapes(&loss, batch.labels.dims()[0]);
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

/// A loss for each sample would be differentiated as their sum, and its values would be read as those of the next measurements.
fn check_shapes(loss: &Loss, samples: usize) {
    let losses =
        [("total", Some(&loss.total)), ("adaptive", Some(&loss.adaptive)), ("frozen", loss.frozen.as_ref())];
    for (name, value) in losses {
        let values = value.map_or(1, |value| value.dims()[0]);
        assert!(
            values == 1,
            "Loss::{name} of the objective has {values} values; return one value, the mean over the images"
        );
    }
    let rows = loss.logits.dims()[0];
    assert!(
        rows == samples,
        "Loss::logits of the objective has {rows} rows for {samples} images; return one row for each image"
    );
}
