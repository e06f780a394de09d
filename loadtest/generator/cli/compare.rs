//! `loadtest compare`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use loadtest::report::{FORMAT, Report, compare};

use super::print::print;

#[derive(Args, Clone, Debug)]
pub(super) struct CompareArgs {
    /// The result to compare with
    #[arg(value_name = "A.json")]
    a: PathBuf,
    /// The result that is compared
    #[arg(value_name = "B.json")]
    b: PathBuf,
}

impl CompareArgs {
    pub(super) fn run(&self) -> super::Result {
        let (a, b) = (read(&self.a)?, read(&self.b)?);
        let names = [&self.a, &self.b].map(|file| file.display().to_string());
        print(&compare([&names[0], &names[1]], [&a, &b]))?;
        Ok(true)
    }
}

fn read(file: &Path) -> Result<Report, String> {
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let report: Report = serde_json::from_str(&text)
        .map_err(|error| format!("{shown} is no result of loadtest: {error}; --json makes one"))?;
    if report.format != FORMAT {
        return Err(format!(
            "{shown} has format {}, this program reads {FORMAT}: make it anew",
            report.format
        ));
    }
    Ok(report)
}
