use super::config::AutoAttackConfig;
use super::version::Version;
use crate::attacks::apgd::config::{ApgdConfig, L1Phases};
use crate::attacks::fab::config::FabConfig;
use crate::attacks::square::config::SquareConfig;
use crate::engine::attack::Attack;
use crate::engine::targets::Targets;
use crate::error::AttackError;
use crate::evaluation::warning::Warning;
use crate::losses::loss::Loss;
use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

/// The number of classes that APGD-T aims at in L1 in `standard`.
const L1_APGD_TARGETS: usize = 5;
/// The number of runs of untargeted attacks where they are repeated.
const RESTARTS: usize = 5;

/// The attacks, and warnings about deviations from the published settings.
type Chosen = (Vec<Box<dyn Attack>>, Vec<Warning>);

impl AutoAttackConfig {
    /// The attacks for a model with this many classes.
    pub(in crate::evaluation) fn attacks(&self, classes: usize) -> Result<Chosen, AttackError> {
        let mut attacks = Vec::new();
        for threat in self.threats() {
            attacks.extend(self.attacks_within(threat, classes)?);
        }
        let dlr = match self.version {
            Version::Standard => ["apgd-t"].as_slice(),
            Version::Plus => &["apgd-dlr", "apgd-t"],
            Version::Rand => &["apgd-dlr"],
        };
        let replaced = dlr.iter().filter(|attack| Loss::Dlr.check(classes, **attack == "apgd-t").is_err());
        let warning = |attack: &&str| {
            let attack = (*attack).to_owned();
            Warning::LossReplaced { attack, by: Loss::Margin, classes }
        };
        Ok((attacks, replaced.map(warning).collect()))
    }

    /// The attacks under one threat model, in their order.
    fn attacks_within(
        &self,
        threat: ThreatModel,
        classes: usize,
    ) -> Result<Vec<Box<dyn Attack>>, AttackError> {
        // The differences of AutoAttack in L1 belong to `standard`: more restarts of APGD-CE, fewer targets of APGD-T,
        // and shrinking radii. `plus` and `rand` treat all norms alike.
        let standard_l1 = self.version == Version::Standard && threat.norm() == Norm::L1;
        let repeated = self.version == Version::Plus || standard_l1;
        let restarts = self.restarts.unwrap_or(if repeated { RESTARTS } else { 1 });
        let targets = |published| Targets::Top(self.targets.unwrap_or(published));
        let dlr = |targeted| Loss::dlr_or_margin(classes, targeted);
        let apgd = ApgdConfig::new(threat)
            .with_steps(self.steps)
            .with_l1_phases(if standard_l1 { L1Phases::Shrinking } else { L1Phases::Fixed })
            .with_eot(self.eot)
            .with_seed(self.seed);
        let apgd_ce = apgd.clone().with_restarts(restarts);
        let apgd_dlr = apgd.clone().with_restarts(restarts).with_loss(dlr(false));
        let apgd_targets = targets(if standard_l1 { L1_APGD_TARGETS } else { Targets::PUBLISHED });
        let apgd_t = apgd.with_loss(dlr(true)).with_targets(apgd_targets);
        let fab = FabConfig::new(threat).with_steps(self.steps).with_seed(self.seed);
        let fab_t = fab.clone().with_targets(targets(Targets::PUBLISHED));
        let square = SquareConfig::new(threat).with_queries(self.queries).with_seed(self.seed);
        Ok(match self.version {
            Version::Standard => vec![
                Box::new(apgd_ce.build()?),
                Box::new(apgd_t.build()?),
                Box::new(fab_t.build()?),
                Box::new(square.build()?),
            ],
            Version::Plus => vec![
                Box::new(apgd_ce.build()?),
                Box::new(apgd_dlr.build()?),
                Box::new(fab.with_restarts(restarts).build()?),
                Box::new(square.build()?),
                Box::new(apgd_t.build()?),
                Box::new(fab_t.build()?),
            ],
            Version::Rand => vec![Box::new(apgd_ce.build()?), Box::new(apgd_dlr.build()?)],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(norm: Norm, version: Version, classes: usize) -> (Vec<(String, usize)>, Vec<Warning>) {
        let config = AutoAttackConfig::new(ThreatModel::new(norm, 0.1).unwrap(), version);
        let (stages, warnings) = config.attacks(classes).unwrap();
        (stages.iter().map(|stage| (stage.name(), stage.runs(classes))).collect(), warnings)
    }

    fn named(list: &[(&str, usize)]) -> Vec<(String, usize)> {
        list.iter().map(|(name, runs)| (name.to_string(), *runs)).collect()
    }

    #[test]
    fn versions_are_the_published_ones() {
        let standard = named(&[("apgd-ce", 1), ("apgd-t", 9), ("fab-t", 9), ("square", 1)]);
        assert_eq!(runs(Norm::Linf, Version::Standard, 10), (standard.clone(), vec![]));
        assert_eq!(runs(Norm::L2, Version::Standard, 10).0, standard);
        let l1 = named(&[("apgd-ce", 5), ("apgd-t", 5), ("fab-t", 9), ("square", 1)]);
        assert_eq!(runs(Norm::L1, Version::Standard, 10).0, l1);
        let plus =
            named(&[("apgd-ce", 5), ("apgd-dlr", 5), ("fab", 5), ("square", 1), ("apgd-t", 9), ("fab-t", 9)]);
        assert_eq!(runs(Norm::Linf, Version::Plus, 10).0, plus);
        assert_eq!(runs(Norm::L1, Version::Plus, 10).0, plus);
        for norm in [Norm::Linf, Norm::L2, Norm::L1] {
            assert_eq!(runs(norm, Version::Rand, 10).0, named(&[("apgd-ce", 1), ("apgd-dlr", 1)]));
        }
    }

    #[test]
    fn radii_shrink_in_standard_l1_alone() {
        let phases = |version| {
            let threat = ThreatModel::new(Norm::L1, 10.0).unwrap();
            let config = AutoAttackConfig::new(threat, version);
            let (stages, _) = config.attacks(10).unwrap();
            // The first query of each phase is one more than its steps.
            stages[0].budget(10) / stages[0].runs(10) as u64 - 100 * config.eot as u64
        };
        assert_eq!([Version::Standard, Version::Plus, Version::Rand].map(phases), [3, 1, 1]);
    }

    #[test]
    fn few_classes_are_handled_and_reported() {
        let (stages, warnings) = runs(Norm::Linf, Version::Standard, 3);
        assert_eq!(stages, named(&[("apgd-ce", 1), ("apgd-t-margin", 2), ("fab-t", 2), ("square", 1)]));
        assert_eq!(warnings.len(), 1);
        let (stages, warnings) = runs(Norm::Linf, Version::Rand, 2);
        assert_eq!(stages[1].0, "apgd-margin");
        assert_eq!(
            warnings,
            [Warning::LossReplaced { attack: "apgd-dlr".into(), by: Loss::Margin, classes: 2 }]
        );
    }

    #[test]
    fn every_threat_model_has_all_attacks_and_warnings_come_once() {
        let threat = |norm, epsilon| ThreatModel::new(norm, epsilon).unwrap();
        let threats = vec![threat(Norm::Linf, 0.1), threat(Norm::Linf, 0.2), threat(Norm::L1, 5.0)];
        let config = AutoAttackConfig::new(threats[0], Version::Standard).with_threats(threats.clone());
        let (attacks, warnings) = config.attacks(3).unwrap();
        let found: Vec<ThreatModel> = attacks.iter().map(|attack| attack.threat_model()).collect();
        assert_eq!(found, [[threats[0]; 4], [threats[1]; 4], [threats[2]; 4]].concat());
        assert_eq!(warnings.len(), 1);
    }
}
