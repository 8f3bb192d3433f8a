//! Every mistake in a study has its error.

use twins_data::Preprocessing;

use super::super::StudyConfig;
use crate::settings::Layer;

const STUDY: &str = r#"seeds = [0, 1]
baseline = "at"
[experiment]
model.arch = "tiny-resnet"
[trials]
learning_rates = [0.01, 0.1]
seed = 100
[[arms]]
name = "at"
method = "at"
[[arms]]
name = "twins"
method = "twins-at"
[[arms]]
name = "scaled"
method = "at"
settings_of = { arm = "at", learning_rate_factor = 2.0 }
"#;

fn message(changes: &[(&str, &str)]) -> String {
    let text = changes.iter().fold(STUDY.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    match StudyConfig::from_toml("study.toml", &text).and_then(StudyConfig::check) {
        Ok(_) => panic!("{changes:?} is accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn mistakes_have_their_errors() {
    StudyConfig::from_toml("study.toml", STUDY).unwrap().check().unwrap();
    let twins = ("method = \"twins-at\"", "method = \"twins-at\"\n");
    let in_twins = |setting: &str| (twins.0, format!("{}{setting}", twins.1));
    for (from, to, parts) in [
        ("seeds = [0, 1]", "seeds = []".to_owned(), vec!["no seeds", "seeds = [0, 1, 2]"]),
        ("seeds = [0, 1]", String::new(), vec!["no seeds"]),
        ("seeds = [0, 1]", "seeds = [3, 1, 3]".to_owned(), vec!["seed 3 is given twice"]),
        ("seed = 100", "seed = 1".to_owned(), vec!["seed 1 of the trials is one of the study's"]),
        (
            "baseline = \"at\"",
            "baseline = \"ta\"".to_owned(),
            vec!["baseline names the arm \"ta\"", "at, twins, scaled"],
        ),
        (
            "arm = \"at\"",
            "arm = \"ta\"".to_owned(),
            vec!["settings_of of arm \"scaled\" names the arm \"ta\"", "at, twins"],
        ),
        (
            "arm = \"at\"",
            "arm = \"scaled\"".to_owned(),
            vec!["settings_of leads in a circle: scaled takes those of scaled"],
        ),
        ("factor = 2.0", "factor = 0.0".to_owned(), vec!["\"scaled\"", "factor is 0"]),
        ("factor = 2.0", "factor = -1.0".to_owned(), vec!["\"scaled\"", "factor is -1"]),
        ("name = \"twins\"", "name = \"at\"".to_owned(), vec!["two arms called \"at\""]),
        ("name = \"twins\"", "name = \"AT\"".to_owned(), vec!["two arms called \"AT\""]),
        ("name = \"twins\"", "name = \"a/b\"".to_owned(), vec!["\"a/b\" cannot be the name", "letters"]),
        ("name = \"twins\"", "name = 'a\\b'".to_owned(), vec!["cannot be the name"]),
        ("name = \"twins\"", "name = \"..\"".to_owned(), vec!["\"..\" cannot be the name"]),
        ("name = \"twins\"", String::new(), vec!["arm number 2 has no name"]),
        (twins.0, in_twins("learning_rates = [0.1]").1, vec!["\"twins\" has 1 trials and arm \"at\" has 2"]),
        (twins.0, in_twins("learning_rates = [0.1, 0.1]").1, vec!["\"twins\"", "0.1 is given twice"]),
        (twins.0, in_twins("learning_rates = []").1, vec!["\"twins\" has no learning rate to try"]),
        (twins.0, in_twins("learning_rates = [0.1, -1.0]").1, vec!["arm \"twins\": learning_rate is -1"]),
        (
            twins.0,
            in_twins("candidates = [{ lambda = 0.5 }]").1,
            vec!["\"twins\" has 1 trials and arm \"at\" has 2"],
        ),
        (
            twins.0,
            in_twins("candidates = [{ lambda = 0.5 }, {}]").1,
            vec!["\"twins\": candidate number 2 gives no settings", "{ lambda = 1.0 }"],
        ),
        (
            twins.0,
            in_twins("candidates = [{ lambda = 0.5 }, { lambda = 0.5 }]").1,
            vec!["\"twins\": lambda 0.5 is given twice", "every candidate once"],
        ),
        (
            twins.0,
            in_twins("candidates = [{ learning_rate = 0.1, lambda = 0.3 }, { learning_rate = 0.1 }]").1,
            vec![
                "candidates learning rate 0.1, lambda 0.3 and learning rate 0.1 are the same trial",
                "differ",
            ],
        ),
        (
            twins.0,
            in_twins("candidates = [{ beta = 3.0 }, { lambda = 0.5 }]").1,
            vec!["arm \"twins\": beta is 3", "no divergence"],
        ),
        (
            twins.0,
            in_twins("candidates = [{ seed = 3 }, { lambda = 0.5 }]").1,
            vec!["a candidate of arm \"twins\" gives seed"],
        ),
        (
            twins.0,
            in_twins("lambda = 0.5\ncandidates = [{ lambda = 0.1 }, { lambda = 0.2 }]").1,
            vec!["\"twins\" gives lambda, but [trials] chooses it", "candidates of its own"],
        ),
        (
            twins.0,
            in_twins("candidates = [{ lambda = 0.5 }, { adversary.epsilon = \"2/255\" }]").1,
            vec![
                "the candidate adversary.epsilon 2/255 is validated in another way than lambda 0.5",
                "4/255",
                "validation.protocol.threat",
            ],
        ),
        (
            twins.0,
            in_twins("candidates = [{ lambda = 0.5 }, { lambda = 0.4, evaluation.steps = 7 }]").1,
            vec!["\"twins\" is measured in another way than arm \"at\"", "PGD-7"],
        ),
        (
            "learning_rates = [0.01, 0.1]",
            "candidates = [{ seed = 3 }]".to_owned(),
            vec!["a candidate of [trials] gives seed"],
        ),
        (twins.0, in_twins("learning_rate = 0.1").1, vec!["\"twins\" gives learning_rate, but [trials]"]),
        (twins.0, in_twins("seed = 5").1, vec!["arm \"twins\" gives seed", "seeds"]),
        ("model.arch", "seed = 5\nmodel.arch".to_owned(), vec!["[experiment] gives seed", "seeds"]),
        (
            "model.arch",
            "data.source = \"dtd:x\"\nvalidation.fraction = 0.2\nmodel.arch".to_owned(),
            vec!["arm \"at\": validation.fraction is 0.2 (study.toml)", "dtd:x has a validation part"],
        ),
        (
            "model.arch",
            "validation = { fraction = \"none\", groups = \"prefix:_\" }\nmodel.arch".to_owned(),
            vec!["arm \"at\": validation.groups is prefix:_ (study.toml)", "never used"],
        ),
        (
            twins.0,
            in_twins("validation = \"none\"").1,
            vec!["\"twins\" has trials, but validation is \"none\""],
        ),
        (
            twins.0,
            in_twins("evaluation.test = \"skipped\"").1,
            vec!["\"twins\"", "evaluation.test is \"skipped\""],
        ),
        (twins.0, in_twins("beta = 3.0").1, vec!["arm \"twins\": beta is 3 (arm twins)", "no divergence"]),
        (
            twins.0,
            in_twins("adversary.epsilon = \"2/255\"").1,
            vec!["\"twins\" is measured in another way than arm \"at\"", "2/255", "4/255"],
        ),
        (
            twins.0,
            in_twins("data.test_images = \"7\"").1,
            vec!["\"twins\" is measured in another way", "data.test_images is 7"],
        ),
        (twins.0, in_twins("batch_size = 1").1, vec!["arm \"twins\": batch_size is 1"]),
        ("model.arch = \"tiny-resnet\"", "epochs = 3".to_owned(), vec!["arm \"at\": there is no model"]),
        ("seed = 100", "seed = 100\nepochs = 0".to_owned(), vec!["arm \"at\"", "epochs"]),
    ] {
        let message = message(&[(from, &to)]);
        for part in parts {
            assert!(message.contains(part), "{to}: {message}");
        }
    }
}

#[test]
fn mistakes_of_several_lines_have_their_errors() {
    let trials = ("[trials]\nlearning_rates = [0.01, 0.1]\nseed = 100\n", "");
    let circle = (
        "name = \"at\"\nmethod = \"at\"",
        "name = \"at\"\nmethod = \"at\"\nsettings_of = { arm = \"scaled\" }",
    );
    let own = ("method = \"twins-at\"", "method = \"twins-at\"\nlearning_rates = [0.1, 0.2]");
    let both = ("settings_of = {", "learning_rates = [0.1, 0.2]\nsettings_of = {");
    let rate = ("settings_of = {", "learning_rate = 0.1\nsettings_of = {");
    let arms = &STUDY[STUDY.find("[[arms]]").unwrap()..];
    for (changes, parts) in [
        (vec![circle], vec!["at takes those of scaled takes those of at"]),
        (vec![trials, own], vec!["\"twins\" gives learning_rates, but there are no trials"]),
        (vec![both], vec!["\"scaled\" gives both learning_rates and settings_of"]),
        (
            vec![trials, ("method = \"twins-at\"", "method = \"twins-at\"\ncandidates = [{ lambda = 0.5 }]")],
            vec!["\"twins\" gives candidates, but there are no trials"],
        ),
        (
            vec![("settings_of = {", "candidates = [{ beta = 1.0 }]\nsettings_of = {")],
            vec!["\"scaled\" gives both candidates and settings_of"],
        ),
        (vec![rate], vec!["\"scaled\" gives both learning_rate and settings_of"]),
        (vec![(arms, "")], vec!["no arms", "[[arms]]"]),
        (vec![("learning_rates = [0.01, 0.1]\n", "")], vec!["\"at\" has no learning rate to try"]),
    ] {
        let message = message(&changes);
        for part in parts {
            assert!(message.contains(part), "{changes:?}: {message}");
        }
    }
}

#[test]
fn an_option_that_gives_the_seed_is_named() {
    let option = Layer::from_toml("--set", "seed = 5").unwrap();
    let study = StudyConfig::from_toml("study.toml", STUDY).unwrap().with_layer(option);
    let message = study.check().unwrap_err().to_string();
    assert!(message.starts_with("--set gives seed, but a study runs every arm"), "{message}");
}

#[test]
fn shared_settings_need_not_fit_every_arm() {
    // Neither lambda nor beta is of adversarial training.
    let text = STUDY.replacen("model.arch", "lambda = 0.5\nbeta = 3.0\nmodel.arch", 1);
    StudyConfig::from_toml("study.toml", &text).unwrap().check().unwrap();
}

#[test]
fn arms_hold_out_the_same_groups() {
    let folder = ("[experiment]", "[experiment]\ndata.source = \"folder:x\"");
    let grouped = ("method = \"twins-at\"", "method = \"twins-at\"\nvalidation.groups = \"prefix:_\"");
    let message = message(&[folder, grouped]);
    assert!(message.contains("\"twins\" is measured in another way than arm \"at\""), "{message}");
    assert!(message.contains("training.validation.groups is prefix:_ and none"), "{message}");
}

#[test]
fn the_study_of_the_documentation_is_accepted() {
    let page = std::fs::read_to_string(twins_testing::repository().join("docs/studies.md")).unwrap();
    let text = page.split("```").find_map(|block| block.strip_prefix("toml\n")).unwrap();
    let study = StudyConfig::from_toml("study.toml", text).unwrap().check().unwrap();
    for job in study.runs() {
        let experiment = study.experiment(&job, None).unwrap().unwrap();
        // Its photographs have different sizes.
        assert_ne!(experiment.config().data.preprocessing, Preprocessing::AsStored, "{job}");
    }
}
