use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::criterion::Criterion;
use super::finding::Finding;

/// What an attack on one sample asks the model.
///
/// Each question is about one image. The engine packs the questions of many samples into a batch, runs the model, and
/// then lets the attack go on. If the model fails, the attack is dropped where it waits, so that an attack never sees an
/// error of the model.
#[derive(Debug)]
pub struct Model {
    exchange: Arc<Mutex<Exchange>>,
    criterion: Criterion,
    label: usize,
    target: Option<usize>,
}

/// The model's answer about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The logits. Of [repeated passes](crate::Attack::eot), those of the last one.
    pub logits: Vec<f32>,
    /// The value of the objective. Of repeated passes, that of the last one.
    pub loss: f32,
    /// The gradient of the objective with respect to the image, averaged over repeated passes; empty if it was not asked
    /// for. Where the model is not differentiable the gradient is zero.
    pub gradient: Vec<f32>,
    /// Whether the attack's [`Criterion`] is met, which is a reason to stop; of repeated passes, in more than half of them.
    pub fooled: bool,
    /// Whether the criterion is met in the last pass, whose logits these are.
    last_fooled: bool,
}

impl Response {
    /// The end of an attack at the image that the response is about. Of a randomised model the last pass decides whether
    /// success is claimed: that costs a fresh pass, which has the last word.
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

    /// Sets the class that decides about success.
    pub(super) fn aim_at(&mut self, target: Option<usize>) {
        self.target = target;
    }

    /// The logits of an image, with 0 in place of a loss. The image has as many values as the clean one, in [0, 1].
    pub async fn logits(&mut self, image: &[f32]) -> Response {
        self.ask(image, Need::Logits, |_, _| 0.0).await
    }

    /// The logits of an image, and the objective there. The objective is as for [`gradient`](Self::gradient).
    pub async fn loss(
        &mut self,
        image: &[f32],
        objective: impl FnMut(&[f32], &mut [f32]) -> f32 + Send,
    ) -> Response {
        self.ask(image, Need::Logits, objective).await
    }

    /// The logits of an image, the objective there and its gradient with respect to the image.
    ///
    /// The objective takes the logits, writes its derivative with respect to each of them to the second argument (which
    /// holds zeros), and returns its value. [`Sample::objective`](crate::Sample::objective) gives those of the published
    /// losses. It is called once for each of the [repeated passes](crate::Attack::eot).
    pub async fn gradient(
        &mut self,
        image: &[f32],
        objective: impl FnMut(&[f32], &mut [f32]) -> f32 + Send,
    ) -> Response {
        self.ask(image, Need::Gradient, objective).await
    }

    async fn ask(
        &mut self,
        image: &[f32],
        need: Need,
        mut objective: impl FnMut(&[f32], &mut [f32]) -> f32 + Send,
    ) -> Response {
        self.exchange().ask(image, need);
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
                Message::Answer { logits, gradient } => {
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

/// Locks an exchange. A panic leaves nothing half done in it.
pub(super) fn lock(exchange: &Mutex<Exchange>) -> MutexGuard<'_, Exchange> {
    exchange.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is wanted about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Logits,
    Gradient,
}

/// Where the attack on a sample and the engine exchange messages.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// The image that is asked about.
    pub(super) image: Vec<f32>,
    pub(super) message: Message,
}

#[derive(Debug, Default)]
pub(super) enum Message {
    #[default]
    Nothing,
    /// From the attack.
    Question(Need),
    /// From the engine, after a forward pass whose gradient is wanted.
    Logits(Vec<f32>),
    /// From the attack: the derivative of its objective with respect to these logits.
    Cotangent(Vec<f32>),
    /// From the engine.
    Answer { logits: Vec<f32>, gradient: Vec<f32> },
}

impl Exchange {
    fn ask(&mut self, image: &[f32], need: Need) {
        self.image.clear();
        self.image.extend_from_slice(image);
        self.message = Message::Question(need);
    }
}
