use crate::html::escape::escape;

/// A table with a caption, and a heading for each column and each row.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    caption: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Cell>)>,
    alignment: Alignment,
}

/// The alignment of the content of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alignment {
    /// Right-aligned, so that digits line up.
    Numbers,
    /// Left-aligned.
    Text,
}

/// The content of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    /// Lines that are shown in a smaller font below the text.
    details: Vec<String>,
    /// The number of columns that the cell spans.
    span: usize,
}

impl Cell {
    /// Creates a cell with a text and lines of details below it.
    pub(crate) fn with_details(text: impl Into<String>, details: Vec<String>) -> Self {
        Self { text: text.into(), details, span: 1 }
    }

    /// Creates a cell with a text that spans several columns.
    pub(crate) fn across(text: impl Into<String>, span: usize) -> Self {
        Self { span, ..text.into().into() }
    }

    /// Creates a cell for a value that was not measured.
    pub(crate) fn missing() -> Self {
        "–".to_owned().into()
    }

    fn to_html(&self) -> String {
        let span = if self.span > 1 { format!(" colspan=\"{}\"", self.span) } else { String::new() };
        let details = self.details.iter().map(|detail| format!("<br/><small>{}</small>", escape(detail)));
        let details: String = details.collect();
        format!("<td{span}>{}{details}</td>", escape(&self.text))
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::with_details(text, Vec::new())
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        text.map_or_else(Self::missing, Self::from)
    }
}

impl Table {
    /// Creates a table of numbers. The first column contains the headings of the rows.
    pub(crate) fn of_numbers<S: Into<String>>(
        caption: impl Into<String>,
        columns: impl IntoIterator<Item = S>,
    ) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Self { caption: caption.into(), columns, rows: Vec::new(), alignment: Alignment::Numbers }
    }

    /// Creates a table of texts. The first column contains the headings of the rows.
    pub(crate) fn of_texts<S: Into<String>>(
        caption: impl Into<String>,
        columns: impl IntoIterator<Item = S>,
    ) -> Self {
        Self { alignment: Alignment::Text, ..Self::of_numbers(caption, columns) }
    }

    /// Adds a row with its heading and its other cells.
    pub(crate) fn push<C: Into<Cell>>(
        &mut self,
        heading: impl Into<String>,
        cells: impl IntoIterator<Item = C>,
    ) {
        self.rows.push((heading.into(), cells.into_iter().map(Into::into).collect()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as HTML, in a box that scrolls if the page is narrower; empty if there are no rows.
    pub(crate) fn to_html(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let columns: String =
            self.columns.iter().map(|column| format!("<th scope=\"col\">{}</th>", escape(column))).collect();
        let rows: String = self
            .rows
            .iter()
            .map(|(heading, cells)| {
                let cells: String = cells.iter().map(Cell::to_html).collect();
                format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", escape(heading))
            })
            .collect();
        let class = match self.alignment {
            Alignment::Numbers => "numbers",
            Alignment::Text => "texts",
        };
        let caption = escape(&self.caption);
        // The tab stop makes a table that is wider than the page scrollable from the keyboard.
        format!(
            "<div class=\"wide\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\">\n\
             <table class=\"{class}\">\n<caption>{caption}</caption>\n\
             <thead><tr>{columns}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_have_a_scope_and_text_stays_text() {
        let mut table = Table::of_numbers("a & b", ["run", "<th>"]);
        assert!(table.to_html().is_empty());
        table.push("at", [Cell::with_details("</td>", vec!["1 < 2".to_owned()])]);
        table.push("b", [None]);
        let html = table.to_html();
        for part in [
            "<caption>a &amp; b</caption>",
            "<th scope=\"col\">&lt;th&gt;</th>",
            "<th scope=\"row\">at</th><td>&lt;/td&gt;<br/><small>1 &lt; 2</small></td>",
            "<th scope=\"row\">b</th><td>–</td>",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }

    #[test]
    fn a_cell_spans_columns() {
        let mut table = Table::of_texts("c", ["fact", "at", "trades"]);
        table.push("data", [Cell::across("letters", 2)]);
        assert!(table.to_html().contains("<td colspan=\"2\">letters</td>"));
    }
}
