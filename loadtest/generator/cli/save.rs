//! Shows a report and saves it.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use loadtest::report::{Report, html, text};

use super::print::print;

/// Where the result goes.
#[derive(Args, Clone, Debug)]
pub(super) struct SaveArgs {
    /// Save the result as JSON, for `compare` and for programs
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Save the result as one HTML file with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl SaveArgs {
    /// Returns what would stop it from saving: better before a run than after it.
    pub(super) fn check(&self) -> Result<(), String> {
        for file in [&self.json, &self.html].into_iter().flatten() {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            if folder.is_some_and(|folder| !folder.is_dir()) || file.is_dir() {
                return Err(format!(
                    "cannot write {}: no such folder, or it is one",
                    file.display()
                ));
            }
        }
        Ok(())
    }

    /// Prints the report and saves it.
    pub(super) fn show(&self, report: &Report) -> Result<(), String> {
        print(&text(report))?;
        if let Some(file) = &self.json {
            let json = serde_json::to_string_pretty(report).map_err(|error| error.to_string())?;
            write(file, &(json + "\n"))?;
        }
        if let Some(file) = &self.html {
            write(file, &html(report))?;
        }
        Ok(())
    }
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}
