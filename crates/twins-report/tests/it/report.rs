//! The report of real, tiny trainings.

use burn::tensor::Device;
use twins_attack::{Norm, PgdConfig, ThreatModel};
use twins_data::{BuiltinDataset, Part, Task};
use twins_report::{
    Gallery, Provenance, Report, RobustnessCurve, RunRecord, Score, ScoreKind, StudyCell, StudyColumn,
    StudyGaps, StudyTable, TestedCheckpoint, stratified_samples,
};
use twins_train::{Accuracy, Method, Trained, ValidationConfig};

use crate::support::{Net, accessible, config, train, well_formed};

/// Everything that a report can show of a training, with names that could break it.
fn record(method: Method, trained: &Trained<Net>) -> RunRecord {
    let test = BuiltinDataset::new(Task::Target, Part::Test, 24, 9);
    let samples = stratified_samples(&test, 12, &Device::flex()).unwrap();
    let fgsm = PgdConfig::fgsm(ThreatModel::new(Norm::Linf, 0.05).unwrap()).build().unwrap();
    let curve = |label, model| {
        RobustnessCurve::measure(label, model, &samples, Norm::Linf, &[0.0, 0.025, 0.05, 0.1], 5).unwrap()
    };
    let provenance = Provenance::starting_now(5).with_devices(["cpu"]).with_command("twins finetune 'a < b'");
    let mut record = RunRecord::new(method.name(), &config(method), provenance)
        .unwrap()
        .with_fact("data", "<i>letters</i>")
        .with_classes(&["<b>", "\"quoted\" & 'so'", "</svg><script>", "\u{0}"].map(str::to_owned))
        .with_history(trained.history.clone());
    record.status = trained.ended.into();
    record.best = trained.best_epoch;
    record.checkpoint = Some(TestedCheckpoint::Best);
    record.scores = vec![
        Score::new("clean", ScoreKind::Clean, Accuracy { correct: 20, total: 24 }),
        Score::measure("FGSM", &trained.best, &samples, &fgsm).unwrap(),
    ];
    record.curves = vec![curve("best", &trained.best), curve("last", &trained.last)];
    record.gallery = Some(Gallery::measure(&trained.best, &samples, "FGSM", &fgsm, 4).unwrap());
    record
}

/// What refers to something that is not in the file.
fn foreign_references(html: &str) -> Vec<&str> {
    let after =
        |start: &'static str| html.match_indices(start).map(move |(place, _)| &html[place + start.len()..]);
    let links = ["http:", "https:"]
        .into_iter()
        .flat_map(after)
        .filter(|rest| !rest.starts_with("//www.w3.org/2000/svg\""));
    let references = ["src=\"", "href=\"", "url("].into_iter().flat_map(after);
    let foreign =
        references.filter(|rest| !rest.starts_with("data:image/png;base64,") && !rest.starts_with('#'));
    links.chain(foreign).map(|rest| rest.split('"').next().unwrap_or(rest)).collect()
}

#[test]
fn a_report_holds_the_results_and_nothing_from_elsewhere() {
    let methods = [Method::At, Method::TwinsAt];
    let trained = methods.map(|method| train(config(method)));
    let report =
        methods.iter().zip(&trained).fold(Report::new("A </title> & more"), |report, (method, trained)| {
            report.with_run(record(*method, trained))
        });
    let mut study = StudyTable::new("Two arms", [StudyColumn::new("clean (%)", 1)]);
    study.push("<at>", vec![StudyCell::Mean { mean: 1.0, deviation: Some(0.5), count: 2 }]);
    let gaps = StudyGaps::new("best − last: <clean>", [("<at>".to_owned(), vec![0.5, -2.0])]);
    let html = report.with_study(study.with_gaps(gaps)).to_html();
    well_formed::check(&html).unwrap();
    accessible::check(&html).unwrap();

    for trained in &trained {
        for epoch in &trained.history {
            let start = format!("<th scope=\"row\">{}</th><td>{}</td>", epoch.epoch, epoch.steps);
            let row = html
                .lines()
                .find(|line| line.contains(&start) && line.contains(&format!("<td>{:.4}</td>", epoch.loss)));
            let row = row.unwrap_or_else(|| panic!("epoch {} is missing", epoch.epoch));
            for accuracy in [
                epoch.validation_clean_accuracy.unwrap(),
                epoch.validation_robust_accuracy.unwrap(),
                epoch.train_adversarial_accuracy,
                epoch.train_clean_accuracy.unwrap(),
            ] {
                assert!(row.contains(&format!("<td>{:.2} %</td>", accuracy.percent())), "{row}");
            }
        }
        let last = trained.history.last().unwrap();
        let layer = &last.layers["conv.weight"];
        assert!(html.contains(&format!("<td>{:.3e}</td>", layer.effective_learning_rate)));
        if let Some(drift) = last.wing_drift.get("norm") {
            assert!(html.contains(&format!("<td>{:.4}</td>", drift.mean_shift)));
        }
    }
    for part in [
        "twins-at / at",
        "frozen wing",
        "robust, validation",
        "epsilon (Linf, in 1/255)",
        "learning rate / ‖w‖²",
        "FGSM",
        "<td>83.33 %<br/><small>64.1 to 93.3</small><br/><small>20 of 24</small></td>",
        "<th scope=\"row\">adversary.epsilon</th><td>8/255</td><td colspan=\"2\">0.05</td>",
        "twins finetune &#39;a &lt; b&#39;",
        "data:image/png;base64,",
        "prefers-color-scheme: dark",
        "&lt;b&gt;",
        "completed: 3 epochs",
        "Study",
        "best − last: &lt;clean&gt;. Dot chart of percentage points. &lt;at&gt;: 0.50, -2.00; mean -0.75.",
    ] {
        assert!(html.contains(part), "{part} is missing");
    }
    let headings: Vec<usize> =
        ["test-results", "training", "drift-between-the-wings", "settings", "provenance"]
            .map(|id| html.find(&format!("<h2 id=\"{id}\"")).unwrap())
            .to_vec();
    assert!(headings.is_sorted(), "the results come first: {headings:?}");
    assert_eq!(foreign_references(&html), Vec::<&str>::new());
}

#[test]
fn the_best_epoch_of_the_record_is_that_of_the_training() {
    for config in [config(Method::TwinsAt), config(Method::At).with_ema_decay(0.5).with_epochs(5)] {
        let trained = train(config.clone());
        let record = RunRecord::new("run", &config, Provenance::starting_now(5)).unwrap();
        assert_eq!(record.with_history(trained.history).best, trained.best_epoch);
    }
}

#[test]
fn a_run_without_a_validation_says_so() {
    let config = config(Method::TwinsAt).with_validation(ValidationConfig::none());
    let trained = train(config.clone());
    assert_eq!(trained.best_epoch, None);
    let mut record = record(Method::TwinsAt, &trained);
    record.checkpoint = Some(TestedCheckpoint::Last);
    let html = Report::default().with_run(record).to_html();
    assert!(html.contains("No images were held out"), "{html}");
    assert!(html.contains("last, epoch 3"), "{html}");
    well_formed::check(&html).unwrap();
    accessible::check(&html).unwrap();
}

#[test]
fn a_report_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/report.html");
    let record = RunRecord::new("none", &config(Method::At), Provenance::starting_now(5)).unwrap();
    let report = Report::new("Nothing trained").with_run(record);
    report.write(&path).unwrap();
    let html = std::fs::read_to_string(&path).unwrap();
    well_formed::check(&html).unwrap();
    accessible::check(&html).unwrap();
    assert!(html.contains("none: running or killed, before the end of epoch 1 of 3."), "{html}");
    let names: Vec<_> =
        std::fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["report.html"]);
    // A folder stands where the file should be.
    let message = report.write(folder.path().join("deep")).unwrap_err().to_string();
    assert!(message.contains("deep"), "{message}");
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["deep"], "no temporary file is left");
}
