use std::time::Instant;

use super::checks::{Checked, check_model};
use super::identity::Identity;
use super::journal::read::Journal;
use super::journal::write::JournalWriter;
use super::progress::Observer;
use super::recorder::{Recorder, Work};
use super::replica::{Replica, check_replicas};
use super::report::{Report, StageReport};
use super::robustness::RobustnessEvaluation;
use super::stages::{Stage, stages};
use super::verdicts::Verdicts;
use super::warning::Warning;
use crate::engine::task::Cost;
use crate::engine::{stage, workers};
use crate::error::AttackError;
use crate::model::clean::CleanLogits;
use crate::samples::source::SampleStream;

/// An attack without gradients causes a warning if it alone breaks more than this fraction of the samples.
const GRADIENT_FREE_EFFECTIVE: f64 = 0.002;

/// Runs an evaluation. If there is a journal, it starts from the journal's outcomes.
pub(super) fn run(
    evaluation: &RobustnessEvaluation,
    replicas: &[Replica<'_>],
    samples: &SampleStream<'_>,
    earlier: Option<&Journal>,
    observer: &mut dyn Observer,
) -> Result<Report, AttackError> {
    let begin = Instant::now();
    let Replica { victim, device } = replicas.first().ok_or(AttackError::NoReplica)?;
    let samples = &samples.to_device(device);
    let mut clean = CleanLogits::compute(*victim, samples)?;
    let (attacks, chosen) = evaluation.attacks.build(clean.classes())?;
    let threats = &evaluation.attacks.threats();
    let stages = stages(&attacks, threats);
    let gradients = attacks.iter().any(|attack| attack.uses_gradients());
    let Checked { mut warnings, randomised, cost: mut total } =
        check_model(*victim, samples, &clean, gradients)?;
    let randomised = randomised
        || evaluation.attacks.expects_randomised()
        || attacks.iter().any(|attack| attack.eot() > 1);
    total += check_replicas(replicas, samples, &clean, randomised, gradients)?;
    warnings.extend(chosen);
    total += Cost { forwards: clean.forwards(), backwards: 0 };

    let RobustnessEvaluation { attacks, coverage, rule, .. } = evaluation;
    let settings = format!("{attacks:?} {coverage:?} {rule:?}");
    let identity = Identity::new(&settings, samples, &clean, victim.gradient_precision(), randomised);
    let randomised = earlier.map_or(randomised, |journal| journal.identity().randomised);
    if let Some(journal) = earlier {
        identity.check(journal, [stages.len(), threats.norms().len()], samples)?;
        // Use the logits of the first start, so that targets and records remain bit-identical.
        clean = clean.with_logits(journal.identity().clean.clone());
    }
    let mut journal = match (&evaluation.journal, earlier) {
        (Some(_), Some(earlier)) => Some(JournalWriter::resume(earlier)?),
        (Some(place), None) => Some(JournalWriter::create(&place.path, &place.tag, &identity)?),
        (None, _) => None,
    };

    let mut verdicts = Verdicts::new(threats, evaluation.coverage, samples, &clean);
    let budgets = stages.iter().map(|stage| (stage.attack.budget(clean.classes()), stage.threat)).collect();
    let mut work = Work { begin, calls: 0, budgets };
    let mut reports = Vec::with_capacity(stages.len());
    for (place, stage) in stages.iter().enumerate() {
        let mut waiting = verdicts.to_attack(stage.threat);
        let (attacked, before) = (waiting.len(), verdicts.robust(stage.threat));
        let mut report = StageReport::new(stage, threats.models()[stage.threat], attacked);
        let known = || earlier.iter().flat_map(|journal| journal.outcomes()).filter(|o| o.stage == place);
        let seconds = known().fold(0.0, |most: f64, outcome| outcome.seconds.max(most));
        let now = Instant::now();
        let mut recorder = Recorder {
            verdicts: &mut verdicts,
            journal: journal.as_mut(),
            observer,
            report: &mut report,
            threats,
            stage,
            place,
            open: attacked,
            earlier: seconds,
            begin: now,
            work: &mut work,
        };
        let mut done = vec![false; samples.len()];
        for outcome in known() {
            recorder.take(outcome);
            done[outcome.sample] = true;
        }
        waiting.retain(|sample| !done[*sample]);
        let driven: Vec<stage::Stage<'_>> = replicas
            .iter()
            .map(|Replica { victim, device }| stage::Stage {
                attack: stage.attack,
                victim: *victim,
                device,
                samples,
                clean: &clean,
                rule: evaluation.rule,
                occurrence: stage.occurrence,
            })
            .collect();
        workers::drive(&driven, &waiting, &mut recorder)?;
        report.seconds = seconds + now.elapsed().as_secs_f64();
        report.finish(&verdicts, evaluation.coverage, stage.threat);
        total += Cost { forwards: report.forwards, backwards: report.backwards };
        let broken = before - report.robust;
        let effective = broken as f64 > GRADIENT_FREE_EFFECTIVE * samples.len() as f64;
        if effective && follows_gradient_attack(&stages, place) {
            let attack = report.attack.clone();
            warnings.push(Warning::SquareEffective { attack, samples: broken, of: samples.len() });
        }
        if report.verification.refuted() > 0 && !randomised {
            let (attack, verification) = (report.attack.clone(), report.verification);
            warnings.push(Warning::Refuted { attack, verification });
        }
        reports.push(report);
    }
    Ok(Report::new(evaluation, samples, &verdicts, threats, reports, warnings, total))
}

/// Returns whether the stage uses no gradients, while an earlier stage with the same threat model does.
fn follows_gradient_attack(stages: &[Stage<'_>], place: usize) -> bool {
    let earlier = |stage: &Stage<'_>| stage.threat == stages[place].threat && stage.attack.uses_gradients();
    !stages[place].attack.uses_gradients() && stages[..place].iter().any(earlier)
}
