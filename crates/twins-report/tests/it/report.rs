//! The report of a real, tiny training.

use burn::tensor::Device;
use twins_attack::{Norm, PgdConfig, ThreatModel};
use twins_data::{BuiltinDataset, Part, Task};
use twins_report::{AttackScore, Gallery, Report, ReportRun, RobustnessCurve, stratified_samples};
use twins_train::{Method, Trained, ValidationConfig};

use crate::support::{Net, config, train, well_formed};

#[test]
fn the_checker_finds_what_is_broken() {
    well_formed::check("<!DOCTYPE html>\n<a b=\"x &lt; &#39;\"><c/>text &amp; more</a>\n").unwrap();
    for broken in [
        "<a>",
        "<a></b>",
        "<a><b></a></b>",
        "<a/><a/>",
        "<a b=x/>",
        "<a b=\"1\" b=\"2\"/>",
        "<a>1 < 2</a>",
        "<a>&nbsp;</a>",
        "<a>&</a>",
        "<a b=\"<\"/>",
        "<a b=\"1\"c=\"2\"/>",
        "text",
        "<a/>text",
        "<a>\u{1}</a>",
    ] {
        assert!(well_formed::check(broken).is_err(), "{broken}");
    }
}

/// Everything that a report can show of two methods, with names that could break it.
fn report(trained: &[(Method, &Trained<Net>)]) -> String {
    let test = BuiltinDataset::new(Task::Target, Part::Test, 24, 9);
    let samples = stratified_samples(&test, 12, &Device::flex()).unwrap();
    let threat = ThreatModel::new(Norm::Linf, 0.05).unwrap();
    let fgsm = PgdConfig::fgsm(threat).build().unwrap();
    let classes = ["<b>", "\"quoted\" & 'so'", "</svg><script>", "\u{0}"].map(str::to_owned);
    let mut report = Report::new("A </title> & more").with_fact("data", "<i>squares</i>");
    for (method, trained) in trained {
        let radii = [0.0, 0.025, 0.05, 0.1];
        let curve =
            |label, model| RobustnessCurve::measure(label, model, &samples, Norm::Linf, &radii, 5).unwrap();
        let run = ReportRun::new(method.name(), trained.history.clone())
            .with_best(trained.best_epoch)
            .with_config(&config(*method))
            .with_curve(curve("best", &trained.best))
            .with_curve(curve("last", &trained.last))
            .with_attack(AttackScore::measure("FGSM", &trained.best, &samples, &fgsm).unwrap())
            .with_gallery(Gallery::of(&trained.best, &samples, &classes, &fgsm, 4).unwrap());
        report = report.with_run(run);
    }
    report.to_html().unwrap()
}

#[test]
fn a_report_holds_the_figures_and_nothing_from_elsewhere() {
    let (at, twins) = (train(config(Method::At)), train(config(Method::TwinsAt)));
    let html = report(&[(Method::At, &at), (Method::TwinsAt, &twins)]);
    well_formed::check(&html).unwrap();

    for trained in [&at, &twins] {
        for epoch in &trained.history {
            // The row of the epoch, figure by figure.
            let row = html.lines().find(|line| {
                line.contains(&format!("<td>{}</td><td>{}</td>", epoch.epoch, epoch.steps))
                    && line.contains(&format!("<td>{:.4}</td>", epoch.loss))
            });
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
        let drift = last.wing_drift["norm"];
        assert!(html.contains(&format!("<td>{:.4}</td>", drift.mean_shift)));
    }
    for part in [
        "twins-at / at",
        "frozen wing",
        "robust, validation",
        "epsilon (Linf, in 1/255)",
        "learning rate / ‖w‖²",
        "FGSM",
        "<td>adversary.epsilon</td><td>0.05</td><td>0.05</td>",
        "data:image/png;base64,",
        "prefers-color-scheme: dark",
        "&lt;b&gt;",
    ] {
        assert!(html.contains(part), "{part} is missing");
    }

    assert!(!html.contains("<script"), "a script got in");
    let links: Vec<&str> = ["http://", "https://"]
        .iter()
        .flat_map(|start| html.match_indices(start).map(|(place, _)| &html[place..]))
        .filter(|link| !link.starts_with("http://www.w3.org/2000/svg\""))
        .map(|link| &link[..link.len().min(40)])
        .collect();
    assert!(links.is_empty(), "{links:?}");
    for reference in ["src=\"", "href=\"", "url("] {
        let foreign: Vec<&str> = html
            .match_indices(reference)
            .map(|(place, _)| &html[place + reference.len()..])
            .filter(|value| !value.starts_with("data:"))
            .collect();
        assert!(foreign.is_empty(), "{reference} refers to something else");
    }
}

#[test]
fn a_report_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/report.html");
    let report = Report::new("Nothing trained").with_run(ReportRun::new("none", vec![]));
    report.write(&path).unwrap();
    well_formed::check(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let names: Vec<_> =
        std::fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["report.html"]);
    // A folder stands where the file should be.
    let message = report.write(folder.path().join("deep")).unwrap_err().to_string();
    assert!(message.contains("deep"), "{message}");
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["deep"], "no temporary file is left");
}

#[test]
fn a_run_without_a_validation_says_so() {
    let trained = train(config(Method::TwinsAt).with_validation(ValidationConfig::none()));
    assert_eq!(trained.best_epoch, None);
    let html = Report::new("without a validation")
        .with_run(ReportRun::new("twins-at", trained.history))
        .to_html()
        .unwrap();
    assert!(html.contains("No images were held out"), "{html}");
    well_formed::check(&html).unwrap();
}
