//! `flott diagnose`: what is the matter with a job, why, and what to do about it.

use std::process::ExitCode;

use super::arguments::JobChoice;
use super::block_on;
use super::output::print;
use crate::protocol::diagnosis::{Diagnosis, Severity, Verdict};

pub(super) fn diagnose(options: JobChoice) -> anyhow::Result<ExitCode> {
    let JobChoice { cluster, output, job } = options;
    let diagnosis = block_on(async { Ok(cluster.job_manager_of(job).await?.diagnosis(job).await?) })?;
    print(output, &diagnosis, || in_words(&diagnosis))?;
    Ok(ExitCode::SUCCESS)
}

fn in_words(diagnosis: &Diagnosis) -> String {
    let Diagnosis { jid, name, state, verdicts } = diagnosis;
    let head = format!("Job {name} ({jid}) is {state}.");
    if verdicts.is_empty() {
        return format!("{head} Nothing is the matter with it.\n");
    }
    verdicts.iter().fold(head + "\n", |text, verdict| text + &finding(verdict))
}

fn finding(verdict: &Verdict) -> String {
    let word = match verdict.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let mut text = format!("\n{word}: {}\n", verdict.cause);
    if !verdict.evidence.is_empty() {
        text.push_str(&format!("  {}\n", verdict.evidence));
    }
    if !verdict.remedy.is_empty() {
        text.push_str(&format!("  -> {}\n", verdict.remedy));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::JobId;
    use crate::protocol::diagnosis::Evidence;
    use crate::protocol::job::JobStatus;

    #[test]
    fn a_finding_is_its_cause_then_its_numbers_then_what_to_do() {
        let verdict = Verdict {
            severity: Severity::Warning,
            kind: "bottleneck".into(),
            cause: "map is the bottleneck".to_owned(),
            evidence: "busy 100 %".to_owned(),
            remedy: "give it more than 2 subtasks".to_owned(),
            vertex: None,
            page: Evidence::Graph,
        };
        assert_eq!(
            finding(&verdict),
            "\nwarning: map is the bottleneck\n  busy 100 %\n  -> give it more than 2 subtasks\n"
        );
        let well = Diagnosis { jid: JobId(7), name: "j".to_owned(), state: JobStatus::Running, verdicts: Vec::new() };
        assert!(in_words(&well).ends_with("is RUNNING. Nothing is the matter with it.\n"));
    }
}
