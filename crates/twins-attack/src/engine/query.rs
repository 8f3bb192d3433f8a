use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::criterion::Criterion;
use super::finding::Finding;

/// The interface through which an attack on one sample queries the model.
///
/// Each query is about one image. The engine packs the queries of many samples into a batch, runs the model, and then
/// resumes the attacks. If the model fails, the engine drops the attack while it waits, so an attack never sees an
/// error of the model.
#[derive(Debug)]
pub struct Model {
    exchange: Arc<Mutex<Exchange>>,
    criterion: Criterion,
    label: usize,
    target: Option<usize>,
}

/// The response of the model to a query about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The logits. With [repeated passes](crate::Attack::eot), they are those of the last pass.
    pub logits: Vec<f32>,
    /// The value of the objective. With repeated passes, it is that of the last pass.
    pub loss: f32,
    /// The gradient of the objective with respect to the image, averaged over repeated passes. It is empty if it was
    /// not requested, and zero where the model is not differentiable.
    pub gradient: Vec<f32>,
    /// Whether the attack's [`Criterion`] is met, so that the attack can stop. With repeated passes, it must be met in
    /// more than half of them.
    pub fooled: bool,
    /// Whether the criterion is met in the last pass, which `logits` belongs to.
    last_fooled: bool,
}

impl Response {
    /// Converts the response to a [`Finding`] at the image `point` that it is about. Success is claimed if the
    /// criterion is met in more than half of the repeated passes or in the last one. A wrong claim costs only a fresh
    /// pass, which has the final say.
    pub fn finding_at(self, point: Vec<f32>) -> Finding {
        Finding { point, fooled: self.fooled || self.last_fooled, logits: self.logits, loss: self.loss }
    }
}

impl Model {
    pub(super) fn new(
        exchange: Arc<Mutex<Exchange>>,
        criterion: Criterion,
        label: usize,
        target: Option<usize>,
    ) -> Self {
        Self { exchange, criterion, label, target }
    }

    /// Sets the target class that decides about success.
    pub(super) fn aim_at(&mut self, target: Option<usize>) {
        self.target = target;
    }

    /// Returns the logits of an image, with 0 as the loss. The image must have as many values as the clean one, in
    /// [0, 1].
    pub async fn logits(&mut self, image: &[f32]) -> Response {
        self.query(image, Need::Logits, |_, _| 0.0).await
    }

    /// Returns the logits of an image and the value of the objective there, which is defined as for
    /// [`gradient`](Self::gradient).
    pub async fn loss(
        &mut self,
        image: &[f32],
        objective: impl FnMut(&[f32], &mut [f32]) -> f32 + Send,
    ) -> Response {
        self.query(image, Need::Logits, objective).await
    }

    /// Returns the logits of an image, the value of the objective there and its gradient with respect to the image.
    ///
    /// The objective takes the logits, writes its derivative with respect to each of them to the second argument (which
    /// initially holds zeros), and returns its value. [`Sample::objective`](crate::Sample::objective) provides the
    /// published losses. The objective is called once for each of the [repeated passes](crate::Attack::eot).
    pub async fn gradient(
        &mut self,
        image: &[f32],
        objective: impl FnMut(&[f32], &mut [f32]) -> f32 + Send,
    ) -> Response {
        self.query(image, Need::Gradient, objective).await
    }

    async fn query(
        &mut self,
        image: &[f32],
        need: Need,
        mut objective: impl FnMut(&[f32], &mut [f32]) -> f32 + Send,
    ) -> Response {
        self.exchange().query(image, need);
        let (mut loss, mut passes, mut successes, mut last_fooled) = (0.0, 0, 0, false);
        poll_fn(|_| {
            let mut exchange = self.exchange();
            let mut take = |logits: &[f32]| {
                let mut cotangent = vec![0.0; logits.len()];
                loss = objective(logits, &mut cotangent);
                passes += 1;
                last_fooled = self.criterion.is_met(logits, self.label, self.target);
                successes += usize::from(last_fooled);
                cotangent
            };
            match mem::take(&mut exchange.message) {
                Message::Logits(logits) => {
                    exchange.message = Message::Cotangent(take(&logits));
                    Poll::Pending
                }
                Message::Response { logits, gradient } => {
                    if need == Need::Logits {
                        take(&logits);
                    }
                    let fooled = 2 * successes > passes;
                    Poll::Ready(Response { logits, loss, gradient, fooled, last_fooled })
                }
                waiting => {
                    exchange.message = waiting;
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn exchange(&self) -> MutexGuard<'_, Exchange> {
        lock(&self.exchange)
    }
}

/// Locks an exchange. A panic leaves no inconsistent state in it, so poisoning is ignored.
pub(super) fn lock(exchange: &Mutex<Exchange>) -> MutexGuard<'_, Exchange> {
    exchange.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a query requests for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Logits,
    Gradient,
}

/// The mailbox through which the attack on a sample and the engine exchange messages.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// The image that the query is about.
    pub(super) image: Vec<f32>,
    pub(super) message: Message,
}

#[derive(Debug, Default)]
pub(super) enum Message {
    #[default]
    Nothing,
    /// From the attack: a query.
    Query(Need),
    /// From the engine: the logits of a forward pass whose gradient is requested.
    Logits(Vec<f32>),
    /// From the attack: the derivative of its objective with respect to these logits.
    Cotangent(Vec<f32>),
    /// From the engine: the response to the query.
    Response { logits: Vec<f32>, gradient: Vec<f32> },
}

impl Exchange {
    fn query(&mut self, image: &[f32], need: Need) {
        self.image.clear();
        self.image.extend_from_slice(image);
        self.message = Message::Query(need);
    }
}
