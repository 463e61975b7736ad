//! Manual pages: `wfr(1)`, and one for each operation.
//!
//! Owns their titles and sections. Refuses to know flags and what they do: those are in the commands.

use std::io;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use wfr_engine::operation::Operation;
use wfr_engine::params::HostPath;

use crate::{command, operations};

const SOURCE: &str = concat!("wfr ", env!("CARGO_PKG_VERSION"));

/// The page of the whole program.
pub fn whole() -> io::Result<String> {
    let man = begin(command::whole().subcommand_help_heading("OPERATIONS"), "wfr".to_owned());
    let mut page = head(&man)?;
    man.render_subcommands_section(&mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["PARAMETERS"]).text([roman(command::PARAMETERS)]);
    roff.to_writer(&mut page)?;
    Ok(text(&page))
}

/// The page of one operation.
pub fn page(operation: &Operation) -> io::Result<String> {
    let mut page = head(&begin(command::of(operation), format!("wfr-{}", operation.name)))?;
    let mut roff = Roff::new();
    if !operation.examples.is_empty() {
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        let lines: Vec<String> = operation.examples.iter().map(|example| format!("wfr {example}")).collect();
        roff.text([roman(lines.join("\n"))]);
        roff.control("fi", []);
    }
    roff.control("SH", ["SEE ALSO"]).text([roman("wfr(1)")]);
    roff.to_writer(&mut page)?;
    Ok(text(&page))
}

/// Writes `wfr.1` and one page for each operation into a directory, which is made where it is missing; returns the files.
pub fn write_all(directory: &Path) -> io::Result<Vec<String>> {
    std::fs::create_dir_all(directory)?;
    let pages = operations::all().map(|operation| (format!("wfr-{}", operation.name), page(operation)));
    let pages = std::iter::once(("wfr".to_owned(), whole())).chain(pages);
    let write = |(name, page): (String, io::Result<String>)| {
        let path = directory.join(format!("{name}.1"));
        std::fs::write(&path, page?)?;
        Ok(HostPath::text_of(path.as_os_str()))
    };
    pages.map(write).collect()
}

/// A page in section 1. What `whatis` lists is a phrase, no sentence.
fn begin(command: Command, name: String) -> Man {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let command = command.name(name.clone()).about(about.trim_end_matches('.').to_owned());
    Man::new(command).title(name.to_uppercase()).source(SOURCE).manual("User Commands")
}

/// A page as text. Each of its parts begins with the same definitions, which the first one needs alone.
fn text(page: &[u8]) -> String {
    let is_definition = |line: &str| line.starts_with(".ie ") || line.starts_with(".el ");
    let page = String::from_utf8_lossy(page);
    let lines = page.lines().enumerate().filter(|(number, line)| *number < 2 || !is_definition(line));
    lines.map(|(_, line)| format!("{line}\n")).collect()
}

/// What all pages begin with.
fn head(man: &Man) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(page: &str) -> Vec<&str> {
        page.lines().filter_map(|line| line.strip_prefix(".SH ")).map(|name| name.trim_matches('"')).collect()
    }

    #[test]
    fn pages_have_their_titles_and_sections() {
        let restore = page(operations::find("restore").expect("an operation")).expect("memory takes all");
        assert!(restore.contains(&format!("\n.TH WFR-RESTORE 1  \"{SOURCE}\" \"User Commands\"\n")), "{restore}");
        assert!(restore.contains("\nwfr\\-restore \\- Brings the workspace back to a checkpoint\n"), "{restore}");
        let names = sections(&restore);
        assert_eq!(names[..4], ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"]);
        assert_eq!(names[names.len() - 2..], ["EXAMPLES", "SEE ALSO"]);
        assert!(restore.contains("\n.nf\nwfr restore wf base\nwfr restore"), "{restore}");
        assert_eq!(restore.matches(".ie ").count(), 1);
        let whole = whole().expect("memory takes all");
        assert!(whole.contains("\n.TH WFR 1  "), "{whole}");
        assert_eq!(sections(&whole)[5..], ["OPERATIONS", "PARAMETERS"]);
        assert!(whole.contains("\nwfr\\-restore(1)\n"), "{whole}");
    }
}
