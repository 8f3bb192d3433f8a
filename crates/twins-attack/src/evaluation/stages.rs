use super::threats::Threats;
use crate::engine::attack::Attack;

/// An attack with its position in an evaluation.
pub(super) struct Stage<'a> {
    pub(super) attack: &'a dyn Attack,
    /// The name in reports, which is unique.
    pub(super) name: String,
    /// The number of earlier attacks with the same name and threat model. It makes their random draws differ.
    pub(super) occurrence: usize,
    /// Index of the threat model.
    pub(super) threat: usize,
}

/// Creates the stages and names them. The name is that of the attack, followed by the threat model if there are
/// several, and by a number if an earlier stage has the same attack and threat model, such as `pgd-20 (Linf 8/255) #2`.
pub(super) fn stages<'a>(attacks: &'a [Box<dyn Attack>], threats: &Threats) -> Vec<Stage<'a>> {
    let mut stages: Vec<Stage<'a>> = Vec::with_capacity(attacks.len());
    for attack in attacks {
        let (attack, threat) = (&**attack, threats.place(attack.threat_model()));
        let same = |stage: &&Stage<'_>| stage.threat == threat && stage.attack.name() == attack.name();
        let occurrence = stages.iter().filter(same).count();
        let mut name = attack.name();
        if threats.models().len() > 1 {
            name = format!("{name} ({})", threats.models()[threat]);
        }
        if occurrence > 0 {
            name = format!("{name} #{}", occurrence + 1);
        }
        stages.push(Stage { attack, name, occurrence, threat });
    }
    stages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::pgd::config::PgdConfig;
    use crate::norms::norm::Norm;
    use crate::norms::threat_model::ThreatModel;

    fn named(epsilons: &[f32]) -> Vec<(String, usize)> {
        let attacks: Vec<Box<dyn Attack>> = epsilons
            .iter()
            .map(|epsilon| -> Box<dyn Attack> {
                let threat = ThreatModel::new(Norm::Linf, *epsilon).unwrap();
                Box::new(PgdConfig::new(threat, 2, 0.1).build().unwrap())
            })
            .collect();
        let threats = Threats::new(attacks.iter().map(|attack| attack.threat_model()));
        stages(&attacks, &threats).into_iter().map(|stage| (stage.name, stage.occurrence)).collect()
    }

    #[test]
    fn every_stage_has_a_name_of_its_own() {
        let pgd = |name: &str, occurrence| (name.to_owned(), occurrence);
        assert_eq!(named(&[0.5, 0.5]), [pgd("pgd-2", 0), pgd("pgd-2 #2", 1)]);
        assert_eq!(
            named(&[0.5, 0.25, 0.5]),
            [pgd("pgd-2 (Linf 0.5)", 0), pgd("pgd-2 (Linf 0.25)", 0), pgd("pgd-2 (Linf 0.5) #2", 1)]
        );
    }
}
