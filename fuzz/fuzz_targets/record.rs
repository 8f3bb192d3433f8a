//! The files of a run that a report reads: `result.json`, and `metrics.jsonl` with a line for each epoch.

#![no_main]

use burn_twins_fuzz::{choice, path, refused, within, write};
use libfuzzer_sys::fuzz_target;
use twins_report::{Report, RunRecord};

const RESULT: &[u8] = include_bytes!("../corpus/record/result");
const METRICS: &[u8] = include_bytes!("../corpus/record/metrics");

fuzz_target!(|bytes: &[u8]| {
    let (which, content) = choice(bytes);
    // The first byte of a file of the corpus chooses, too.
    let (result, metrics) = if which % 2 == 0 { (content, &METRICS[1..]) } else { (&RESULT[1..], content) };
    write("record/result.json", result);
    write("record/metrics.jsonl", metrics);
    let record = within(result.len() + metrics.len(), || RunRecord::read(path("record")));
    match record {
        Ok(record) => {
            let html = Report::default().with_run(record.clone()).to_html();
            let acts = |character: char| character.is_control() && !"\n\t".contains(character);
            assert!(!html.contains(acts) && !html.contains("<script"), "{html}");
            // What is written is read back, unless its last epoch now has a number that is greater than that of its epochs.
            record.write(path("again")).expect("a record can be written");
            write("again/metrics.jsonl", metrics);
            match RunRecord::read(path("again")) {
                Ok(again) => assert_eq!(again, record),
                Err(_) => assert!(record.history.len() < record.finished_epochs),
            }
        }
        Err(error) => refused(&error),
    }
});
