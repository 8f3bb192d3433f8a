use std::path::Path;

use twins_files::write_whole;

use crate::error::ReportError;
use crate::html::{escape, section};
use crate::run::ReportRun;
use crate::{config_table, drift, epochs, layers, robustness_section};

/// A report under construction; see the [crate](crate).
#[derive(Clone, Debug, Default)]
pub struct Report {
    title: String,
    facts: Vec<(String, String)>,
    runs: Vec<ReportRun>,
}

impl Report {
    /// An empty report.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Adds a line to the head, such as the data or the weights.
    #[must_use]
    pub fn with_fact(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.facts.push((name.into(), value.to_string()));
        self
    }

    /// Adds a training; several are drawn into the same charts where they compare.
    #[must_use]
    pub fn with_run(mut self, run: ReportRun) -> Self {
        self.runs.push(run);
        self
    }

    /// The report as the text of an HTML file, which is also well-formed XML.
    ///
    /// # Errors
    ///
    /// [`ReportError::Part`] where a chart or picture cannot be made.
    pub fn to_html(&self) -> Result<String, ReportError> {
        let title = escape(&self.title);
        let facts: String = self
            .facts
            .iter()
            .map(|(name, value)| format!("<tr><td>{}</td><td>{}</td></tr>\n", escape(name), escape(value)))
            .collect();
        let facts = match facts.is_empty() {
            true => String::new(),
            false => format!("<table><tbody>\n{facts}</tbody></table>\n"),
        };
        let mut gallery = String::new();
        for run in &self.runs {
            if let Some(shown) = &run.gallery {
                gallery += &format!("<h3>{}</h3>\n{}", escape(&run.name), shown.to_html()?);
            }
        }
        let sections = [
            ("Result", epochs::summary(&self.runs)?),
            ("Robustness on the test images", robustness_section::section_of(&self.runs)?),
            ("Training", epochs::charts(&self.runs)?),
            ("Effective learning rate", layers::section_of(&self.runs)?),
            ("Drift between the wings", drift::section_of(&self.runs)?),
            ("Images", gallery),
            ("Configuration", config_table::table(&self.runs)?),
            ("Every epoch", epochs::tables(&self.runs)),
        ];
        let sections: String = sections
            .into_iter()
            .filter(|(_, content)| !content.is_empty())
            .map(|(heading, content)| section(heading, &content))
            .collect();
        Ok(format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{facts}{sections}</body>\n</html>\n",
            include_str!("style.css")
        ))
    }

    /// Writes the report under a temporary name and renames it, so that no half of one is ever seen. Folders that are
    /// missing are created.
    ///
    /// # Errors
    ///
    /// [`ReportError::Part`], or [`ReportError::Write`] with the file.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), ReportError> {
        let path = path.as_ref();
        let html = self.to_html()?;
        write_whole(path, html.as_bytes())
            .map_err(|source| ReportError::Write { path: path.to_owned(), source })
    }
}
