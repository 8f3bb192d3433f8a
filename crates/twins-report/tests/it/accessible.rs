//! The checks of a report find what they are to find.

use crate::support::{accessible, well_formed};

#[test]
fn what_is_not_well_formed_is_found() {
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

#[test]
fn what_cannot_be_used_without_seeing_it_is_found() {
    accessible::check(
        "<html lang=\"en\"><a href=\"#x\">x</a><h2 id=\"x\">x</h2><img alt=\"a > b\" src=\"y\"/>\
         <svg role=\"img\" aria-label=\"z\"></svg><svg aria-hidden=\"true\"></svg>\
         <table><caption>t</caption><tr><th scope=\"col\">h</th></tr></table></html>",
    )
    .unwrap();
    for (broken, problem) in [
        ("<h2 id=\"x\"></h2><h3 id=\"x\"></h3>", "twice"),
        ("<a href=\"#x\"></a>", "does not exist"),
        ("<img src=\"y\"/>", "alternative text"),
        ("<img alt=\" \" src=\"y\"/>", "alternative text"),
        ("<svg role=\"img\"></svg>", "alternative text"),
        ("<th>h</th>", "scope"),
        ("<table><tr></tr></table>", "caption"),
        ("<html></html>", "language"),
        ("<script></script>", "script"),
    ] {
        let found = accessible::check(broken).unwrap_err();
        assert!(found.contains(problem), "{broken}: {found}");
    }
}
