//! Every link of the documentation leads to a file, and to a heading in it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use twins_testing::repository;

/// A page: the anchors of its headings, and the targets of its links and pictures.
struct Page {
    anchors: HashSet<String>,
    links: Vec<String>,
}

impl Page {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let (mut anchors, mut links) = (HashSet::new(), Vec::new());
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut heading: Option<String> = None;
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    links.push(dest_url.into_string())
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        *heading += &text;
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().unwrap_or_default());
                    let number = numbers.entry(anchor.clone()).or_default();
                    anchors.insert(if *number == 0 { anchor } else { format!("{anchor}-{number}") });
                    *number += 1;
                }
                _ => (),
            }
        }
        Self { anchors, links }
    }
}

/// What GitHub and mdBook make of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => (),
            part => plain.push(part),
        }
        plain
    })
}

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let root = repository();
    let mut paths: Vec<PathBuf> =
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(|page| root.join(page)).to_vec();
    pages(&root.join("docs"), &mut paths);
    let paths: Vec<PathBuf> = paths.iter().map(|path| plain(path)).collect();
    let read: HashMap<&PathBuf, Page> = paths.iter().map(|path| (path, Page::read(path))).collect();
    let mut broken = Vec::new();
    let mut count = 0;
    for (path, page) in &read {
        for link in page.links.iter().filter(|link| !link.contains("://")) {
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { (*path).clone() } else { plain(&path.parent().unwrap().join(file)) };
            let there = target.exists()
                && (anchor.is_empty() || read.get(&target).is_none_or(|page| page.anchors.contains(anchor)));
            if !there {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(count > 200, "only {count} links were found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_page_is_in_the_book() {
    let docs = plain(&repository().join("docs"));
    let summary = Page::read(&docs.join("SUMMARY.md"));
    let listed: HashSet<PathBuf> = summary.links.iter().map(|link| plain(&docs.join(link))).collect();
    let mut paths = Vec::new();
    pages(&docs, &mut paths);
    let missing: Vec<_> =
        paths.iter().filter(|path| !listed.contains(*path) && !path.ends_with("SUMMARY.md")).collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:?}");
}
