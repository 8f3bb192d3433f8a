use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::attack::Attack;
use super::finding::Finding;
use super::query::{Exchange, Message, Model, Need, lock};
use super::sample::Sample;
use super::task::Task;
use crate::error::AttackError;

/// The end of a run: the class that it aimed at, and its finding.
type Ended = Result<(Option<usize>, Finding), AttackError>;

/// A sample under attack. When its last run has ended, its place in the batch is given to the next sample.
pub(super) struct Slot<'a> {
    pub(super) task: Task,
    attack: &'a dyn Attack,
    run: Pin<Box<dyn Future<Output = Ended> + Send + 'a>>,
    exchange: Arc<Mutex<Exchange>>,
    state: State,
}

enum State {
    /// The attack is waiting for a response.
    Waiting(Need),
    /// The run has ended.
    Ended(Ended),
}

impl<'a> Slot<'a> {
    /// Begins a run on a sample and advances it to its first query. The attack's targets determine the target of the
    /// run.
    pub(super) fn begin(task: Task, attack: &'a dyn Attack, sample: Sample<'a>) -> Self {
        let exchange = Arc::new(Mutex::new(Exchange::default()));
        let mut model = Model::new(exchange.clone(), attack.criterion(), sample.label, None);
        let run = Box::pin(async move {
            let norm = attack.threat_model().norm();
            let target = attack.targets().choose(&sample, &mut model, norm, &attack.name()).await?;
            model.aim_at(target);
            let finding = attack.attack(Sample { target, ..sample }, model).await?;
            Ok((target, finding))
        });
        let mut slot = Self { task, attack, run, exchange, state: State::Waiting(Need::Logits) };
        slot.resume();
        slot
    }

    /// Resumes the attack until its next query or its end.
    fn resume(&mut self) {
        self.state = match self.run.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ended) => State::Ended(ended),
            Poll::Pending => match lock(&self.exchange).message {
                Message::Query(need) => State::Waiting(need),
                _ => State::Ended(Err(AttackError::NoQuery { attack: self.attack.name() })),
            },
        };
    }

    /// What the attack is requesting, or `None` if the run has ended.
    pub(super) fn need(&self) -> Option<Need> {
        match self.state {
            State::Waiting(need) => Some(need),
            State::Ended(_) => None,
        }
    }

    /// Copies the image of the attack's query to `pixels`, which has the length of the clean image.
    ///
    /// # Errors
    /// [`AttackError::QueryLength`] if the number of values differs from that of the clean image,
    /// [`AttackError::QueryValue`] if a value is not finite.
    pub(super) fn copy_image(&self, pixels: &mut [f32]) -> Result<(), AttackError> {
        let exchange = lock(&self.exchange);
        let (expected, found) = (pixels.len(), exchange.image.len());
        if found != expected {
            return Err(AttackError::QueryLength { attack: self.attack.name(), expected, found });
        }
        if let Some(&value) = exchange.image.iter().find(|value| !value.is_finite()) {
            return Err(AttackError::QueryValue { attack: self.attack.name(), value });
        }
        pixels.copy_from_slice(&exchange.image);
        Ok(())
    }

    /// Passes the logits of a forward pass whose gradient is requested to the attack, and receives the derivative of
    /// the attack's objective with respect to them.
    pub(super) fn cotangent(&mut self, logits: &[f32], cotangent: &mut [f32]) {
        lock(&self.exchange).message = Message::Logits(logits.to_vec());
        // The attack is suspended in its query, which replies at once.
        let polled = self.run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        match (polled, &lock(&self.exchange).message) {
            (Poll::Pending, Message::Cotangent(values)) => cotangent.copy_from_slice(values),
            _ => self.state = State::Ended(Err(AttackError::NoQuery { attack: self.attack.name() })),
        }
    }

    /// Passes the response to the attack's query to the attack, and resumes it.
    pub(super) fn respond(&mut self, logits: &[f32], gradient: &[f32]) {
        if matches!(self.state, State::Ended(_)) {
            return;
        }
        let (logits, gradient) = (logits.to_vec(), gradient.to_vec());
        lock(&self.exchange).message = Message::Response { logits, gradient };
        self.resume();
    }

    /// Returns the task and the end of its run. A run that is still waiting has received no response and has failed.
    pub(super) fn end(self) -> (Task, Ended) {
        match self.state {
            State::Ended(ended) => (self.task, ended),
            State::Waiting(_) => (self.task, Err(AttackError::NoQuery { attack: self.attack.name() })),
        }
    }
}
