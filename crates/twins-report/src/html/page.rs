use crate::html::escape::escape;

/// A page of sections with a table of contents. Sections without content are omitted.
pub(crate) fn page(title: &str, sections: &[(&str, String)]) -> String {
    let sections = || sections.iter().filter(|(_, content)| !content.is_empty());
    let links: String = sections()
        .map(|(heading, _)| {
            format!("<li><a href=\"#{}\">{}</a></li>\n", identifier(heading), escape(heading))
        })
        .collect();
    let contents = match sections().count() {
        0 | 1 => String::new(),
        _ => format!("<nav aria-label=\"Contents\"><ul>\n{links}</ul></nav>\n"),
    };
    let body: String = sections()
        .map(|(heading, content)| {
            let id = identifier(heading);
            let heading = escape(heading);
            format!(
                "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{heading}</h2>\n{content}</section>\n"
            )
        })
        .collect();
    let title = escape(title);
    let style = include_str!("style.css");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<header><h1>{title}</h1>\n{contents}</header>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// The id of a section: its heading in lower case, with hyphens.
fn identifier(heading: &str) -> String {
    let hyphenated = heading.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    hyphenated.trim_matches('-').to_owned()
}

/// A paragraph of text.
pub(crate) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// A highlighted paragraph.
pub(crate) fn notice(text: &str) -> String {
    format!("<p class=\"notice\">{}</p>\n", escape(text))
}

/// Collapsible content that opens on a click.
pub(crate) fn details(summary: &str, content: &str) -> String {
    format!("<details>\n<summary>{}</summary>\n{content}</details>\n", escape(summary))
}

/// Places figures side by side if there is enough space.
pub(crate) fn side_by_side(figures: &str) -> String {
    if figures.is_empty() { String::new() } else { format!("<div class=\"charts\">\n{figures}</div>\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_sections_are_left_out_of_page_and_contents() {
        let sections = [
            ("Test results", paragraph("1 < 2")),
            ("Nothing", String::new()),
            ("Every epoch", paragraph("x")),
        ];
        let html = page("<T>", &sections);
        assert!(html.contains("<title>&lt;T&gt;</title>") && html.contains("<p>1 &lt; 2</p>"), "{html}");
        assert!(html.contains("href=\"#every-epoch\"") && html.contains("id=\"every-epoch\""), "{html}");
        assert!(!html.contains("Nothing"), "{html}");
        assert!(!page("T", &sections[..1]).contains("<nav"), "one section needs no contents");
    }
}
