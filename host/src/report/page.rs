//! The page around the sections.

use super::ReportData;
use super::sections;
use crate::picture::{self, escape};

const STYLE: &str = include_str!("style.css");

/// Heading and content of a part of the page; without content it is left out.
pub(crate) type Section = (&'static str, String);

impl ReportData {
    /// The page: one file, no network, no scripts, the same bytes for the same data.
    #[must_use]
    pub fn html(&self) -> String {
        self.document(&sections::all(self))
    }

    /// The page with other sections below the same head.
    pub(crate) fn document(&self, sections: &[Section]) -> String {
        let title = escape(&self.title);
        let mut body = self.header();
        for (heading, content) in sections {
            if !content.is_empty() {
                body.push_str(&format!("<section><h2>{heading}</h2>\n{content}</section>\n"));
            }
        }
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <style>\n{marks}{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\
             <footer>{program}</footer>\n</main>\n</body>\n</html>\n",
            marks = picture::STYLE,
            program = escape(&self.program),
        )
    }

    fn header(&self) -> String {
        let mut out = format!("<header><h1>{}</h1>\n", escape(&self.title));
        if !self.summary.is_empty() {
            out.push_str(&format!("<p class=\"summary\">{}</p>\n", escape(&self.summary)));
        }
        if !self.identity.is_empty() {
            out.push_str("<dl class=\"identity\">");
            for fact in &self.identity {
                let (name, value) = (escape(&fact.name), escape(&fact.value));
                out.push_str(&format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
            }
            out.push_str("</dl>\n");
        }
        if !self.command.is_empty() {
            out.push_str(&format!("<pre class=\"command\">{}</pre>\n", escape(&self.command)));
        }
        out.push_str("</header>\n");
        for warning in &self.warnings {
            out.push_str(&format!("<p class=\"warning\" role=\"note\">{}</p>\n", escape(warning)));
        }
        if !self.figures.is_empty() {
            out.push_str("<ul class=\"cards\">");
            for figure in &self.figures {
                let [label, value, note] =
                    [&figure.label, &figure.value, &figure.note].map(|t| escape(t));
                out.push_str(&format!(
                    "<li><span class=\"label\">{label}</span><span class=\"value\">{value}</span>\
                     <span class=\"note\">{note}</span></li>"
                ));
            }
            out.push_str("</ul>\n");
        }
        out
    }
}
