//! The report of a real, tiny training.

use crate::support::well_formed;
use crate::support::{Net, Squares, config, trainer};
use burn::tensor::Device;
use twins_attack::{Norm, PgdConfig, ThreatModel};
use twins_train::report::{AttackScore, Gallery, Report, ReportRun, RobustnessCurve, stratified_samples};
use twins_train::{Method, Trained};

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

fn train(method: Method) -> Trained<Net> {
    trainer(config(method)).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap()
}

/// Everything that a report can show of two methods, with names that could break it.
fn report(trained: &[(Method, &Trained<Net>)]) -> String {
    let test = Squares::dataset(24, 9);
    let samples = stratified_samples(test.as_ref(), 12, &Device::flex()).unwrap();
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
    let (at, twins) = (train(Method::At), train(Method::TwinsAt));
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
fn the_drift_is_that_of_the_weights() {
    let trained = train(Method::TwinsAt);
    let weights = twins_train::Weights::of(&trained.last);
    let values = |name: &str| -> Vec<f64> { weights.tensors()[name].iter::<f64>().collect() };
    let (mean, var) = (values("norm.running_mean"), values("norm.running_var"));
    let (frozen_mean, frozen_var) = (values("norm.frozen_mean"), values("norm.frozen_var"));
    let channels = mean.len() as f64;
    let shift: f64 =
        (0..mean.len()).map(|c| (mean[c] - frozen_mean[c]).abs() / (frozen_var[c] + 1e-5).sqrt()).sum();
    let ratio: f64 = (0..var.len()).map(|c| ((var[c] + 1e-5) / (frozen_var[c] + 1e-5)).ln().abs()).sum();
    let drift = trained.history.last().unwrap().wing_drift["norm"];
    // The same sums in the same precision.
    assert!((drift.mean_shift - shift / channels).abs() < 1e-12, "{drift:?}");
    assert!((drift.variance_ratio - ratio / channels).abs() < 1e-12, "{drift:?}");
    assert!(drift.mean_shift > 0.01, "the statistics never moved: {drift:?}");
}
