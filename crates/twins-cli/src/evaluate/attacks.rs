//! Builds the evaluation from the command line.

use std::error::Error;

use burn_twins::attack::{
    Attack, AttackSettings, AutoAttackConfig, RegisteredAttack, RobustnessEvaluation, Setting, SettingError,
    ThreatModel, Version,
};

use crate::evaluate::cli::{AUTOATTACK, CLEAN, Cli};

impl Cli {
    /// Builds the evaluation, without a journal.
    pub fn evaluation(&self) -> Result<RobustnessEvaluation, Box<dyn Error>> {
        let threats = self.threats()?;
        let only = |name: &str| self.attack == [name];
        if self.aa_version.is_some() && !self.attack.iter().any(|name| name == AUTOATTACK) {
            return Err("--aa-version is a setting of --attack autoattack; leave it out with others".into());
        }
        let evaluation = if only(CLEAN) {
            if let Some(setting) = self.given().next() {
                return Err(
                    format!("--attack clean runs no attack and has no {setting}: leave it out").into()
                );
            }
            RobustnessEvaluation::clean()
        } else if only(AUTOATTACK) {
            let config = AutoAttackConfig::new(threats[0], self.aa_version.unwrap_or(Version::Standard));
            RobustnessEvaluation::autoattack(self.autoattack(config)?.with_threats(threats))?
        } else if self.attack.iter().any(|name| name == CLEAN || name == AUTOATTACK) {
            return Err(
                "--attack clean and --attack autoattack are whole evaluations; give one of them alone, or a \
                        list of single attacks"
                    .into(),
            );
        } else {
            RobustnessEvaluation::new(self.registered(&threats)?)?
        };
        Ok(evaluation.with_coverage(self.coverage).with_fresh_draws(self.fresh_draws)?)
    }

    /// The threat models, the smallest epsilon first: an image broken at a small epsilon is not attacked at a larger
    /// one.
    fn threats(&self) -> Result<Vec<ThreatModel>, Box<dyn Error>> {
        let mut epsilons = self.epsilon.clone();
        epsilons.sort_by(f32::total_cmp);
        if let Some(pair) = epsilons.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("--epsilon has {} twice; name each once", pair[0]).into());
        }
        Ok(epsilons.iter().map(|epsilon| ThreatModel::new(self.norm, *epsilon)).collect::<Result<_, _>>()?)
    }

    fn autoattack(&self, config: AutoAttackConfig) -> Result<AutoAttackConfig, SettingError> {
        let supported = &[Setting::Steps, Setting::Restarts, Setting::Queries];
        if let Some(setting) = self.given().find(|setting| !supported.contains(setting)) {
            return Err(SettingError::UnsupportedSetting { attack: AUTOATTACK, setting, supported });
        }
        let config = config.with_seed(self.compute.seed());
        let config = self.queries.into_iter().fold(config, AutoAttackConfig::with_queries);
        let config = self.attack_steps.into_iter().fold(config, AutoAttackConfig::with_steps);
        Ok(self.restarts.into_iter().fold(config, AutoAttackConfig::with_restarts))
    }

    /// The settings of attacks that were given.
    fn given(&self) -> impl Iterator<Item = Setting> {
        let given = [
            (Setting::Steps, self.attack_steps.is_some()),
            (Setting::StepSize, self.step_size.is_some()),
            (Setting::RandomStart, self.random_start),
            (Setting::Restarts, self.restarts.is_some()),
            (Setting::Queries, self.queries.is_some()),
        ];
        given.into_iter().filter_map(|(setting, given)| given.then_some(setting))
    }

    /// Builds all attacks at each epsilon.
    fn registered(&self, threats: &[ThreatModel]) -> Result<Vec<Box<dyn Attack>>, Box<dyn Error>> {
        let named =
            self.attack.iter().map(|name| RegisteredAttack::named(name)).collect::<Result<Vec<_>, _>>()?;
        let mut attacks = Vec::new();
        for threat in threats {
            for attack in &named {
                attacks.push(attack.build(&self.settings(attack, &named, *threat))?);
            }
        }
        Ok(attacks)
    }

    /// The settings that apply to the attack. A setting that no attack has is passed on too, so that building the
    /// attack fails.
    fn settings(
        &self,
        attack: &RegisteredAttack,
        all: &[&RegisteredAttack],
        threat: ThreatModel,
    ) -> AttackSettings {
        let has = |setting| {
            attack.settings().contains(&setting)
                || !all.iter().any(|other| other.settings().contains(&setting))
        };
        let mut settings = AttackSettings::new(threat).with_seed(self.compute.seed());
        if let Some(steps) = self.attack_steps.filter(|_| has(Setting::Steps)) {
            settings = settings.with_steps(steps);
        }
        if let Some(step_size) = self.step_size.filter(|_| has(Setting::StepSize)) {
            settings = settings.with_step_size(step_size);
        }
        if self.random_start && has(Setting::RandomStart) {
            settings = settings.with_random_start(true);
        }
        if let Some(restarts) = self.restarts.filter(|_| has(Setting::Restarts)) {
            settings = settings.with_restarts(restarts);
        }
        if let Some(queries) = self.queries.filter(|_| has(Setting::Queries)) {
            settings = settings.with_queries(queries);
        }
        settings
    }
}
