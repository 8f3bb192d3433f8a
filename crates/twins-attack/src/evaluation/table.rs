use std::fmt;

use super::coverage::Coverage;
use super::report::{Count, Report, StageReport};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.stages.is_empty() {
            accuracy(f, "clean accuracy", self.clean, self.interval)?;
            return self.warnings(f);
        }
        self.title(f)?;
        let width = self.stages.iter().map(|stage| stage.attack.chars().count()).fold(14, usize::max);
        let every = self.coverage == Coverage::EveryAttack;
        write!(
            f,
            "{:<width$} {:>9} {:>9} {:>11} {:>11} {:>9}",
            "after", "robust", "%", "forwards", "gradients", "seconds"
        )?;
        writeln!(f, "{}", if every { "   by itself" } else { "" })?;
        writeln!(f, "{:<width$} {:>9} {:>9.2}", "clean", self.clean.correct, 100.0 * self.clean.fraction())?;
        self.stages.iter().try_for_each(|stage| self.row(f, stage, width))?;
        if self.threats.len() > 1 {
            for threat in &self.threats {
                accuracy(f, &format!("{}: robust accuracy", threat.threat), threat.robust, threat.interval)?;
                writeln!(f)?;
            }
        }
        let all = if self.threats.len() > 1 { "all: robust accuracy" } else { "robust accuracy" };
        accuracy(f, all, self.robust, self.interval)?;
        let claimed = self.stages.iter().map(|stage| stage.verification.claimed).fold(0, u64::saturating_add);
        write!(
            f,
            "\n{claimed} claimed adversarial examples checked: in the box, in the ball, {}",
            self.verification
        )?;
        for stage in self.stages.iter().filter(|stage| stage.verification.refuted() > 0) {
            write!(f, "\n{}: {}", stage.attack, stage.verification)?;
        }
        self.warnings(f)
    }
}

impl Report {
    fn title(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threats: Vec<String> = self.threats.iter().map(|threat| threat.threat.to_string()).collect();
        let threats = threats.join(", ");
        match &self.config {
            Some(config) => {
                // Such results are not comparable with published ones.
                let other = if config.is_published() { "" } else { " with other settings" };
                writeln!(f, "AutoAttack {}{other}, {threats}, seed {}", config.version, config.seed)
            }
            None => writeln!(f, "Robustness evaluation, {threats}"),
        }
    }

    fn warnings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.warnings.iter().try_for_each(|warning| write!(f, "\nwarning: {warning}"))
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, stage: &StageReport, width: usize) -> fmt::Result {
        let fraction = |correct| 100.0 * Count { correct, total: self.clean.total }.fraction();
        write!(
            f,
            "{:<width$} {:>9} {:>9.2} {:>11} {:>11} {:>9.1}",
            stage.attack,
            stage.robust,
            fraction(stage.robust),
            stage.forwards,
            stage.backwards,
            stage.seconds
        )?;
        match stage.own_robust {
            Some(robust) => writeln!(f, " {:>9.2} %", fraction(robust)),
            None => writeln!(f),
        }
    }
}

fn accuracy(f: &mut fmt::Formatter<'_>, of: &str, robust: Count, interval: [f64; 2]) -> fmt::Result {
    let [low, high] = interval.map(|bound| 100.0 * bound);
    write!(
        f,
        "{of} {:.2} % of {} samples, 95 % interval {low:.2} to {high:.2} %",
        100.0 * robust.fraction(),
        robust.total
    )
}
