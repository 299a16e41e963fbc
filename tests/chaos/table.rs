//! What is printed: a line for a round, and the table of all rounds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::checker::Verdict;
use crate::round::Outcome;
use crate::schedule::Schedule;

/// A round that has ended.
pub struct Round {
    pub seed: u64,
    pub server: String,
    pub schedule: Schedule,
    pub outcome: Outcome,
}

impl Round {
    pub fn passed(&self) -> bool {
        self.outcome.complaints.is_empty()
    }

    /// The line of a round.
    pub fn line(&self) -> String {
        let Verdict { acknowledged, lost, announced, doubled, two_writable, overridden, .. } =
            &self.outcome.verdict;
        let mut out = format!(
            "{} seed {}, {}, {}: {acknowledged} acknowledged, {} lost, {} lost as announced, {} doubled, two writable {:.3} s",
            if self.passed() { "passed" } else { "FAILED" },
            self.seed,
            self.server,
            self.schedule.scenario.name(),
            lost.len(),
            announced.len(),
            doubled.len(),
            two_writable.as_secs_f64(),
        );
        if !overridden.is_zero() {
            write!(out, " (overridden {:.3} s)", overridden.as_secs_f64()).expect("a text takes it");
        }
        if let Some(took) = self.outcome.took_over {
            write!(out, ", writes after {:.1} s", took.as_secs_f64()).expect("a text takes it");
        }
        let end = if self.outcome.illegal_end { "ILLEGAL END" } else { "Alive" };
        write!(out, ", {end} after {:.1} s [{}]", self.outcome.recovered.as_secs_f64(), self.schedule)
            .expect("a text takes it");
        for complaint in &self.outcome.complaints {
            write!(out, "\n    {}", complaint.replace('\n', "\n    ")).expect("a text takes it");
        }
        out
    }
}

/// The table of all rounds, a line for each server and scenario, as Markdown.
pub fn table(rounds: &[Round]) -> String {
    let mut groups = BTreeMap::<(&str, &str), Vec<&Round>>::new();
    for round in rounds {
        groups.entry((&round.server, round.schedule.scenario.name())).or_default().push(round);
    }
    let mut out = String::from(
        "| server | scenario | rounds | passed | acknowledged | lost | lost as announced | doubled | two writable, s | by override, s | illegal ends | writes again, s | Alive again, s |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for ((server, scenario), rounds) in groups {
        line(&mut out, server, scenario, &rounds);
    }
    line(&mut out, "**all**", "", &rounds.iter().collect::<Vec<_>>());
    out
}

fn line(out: &mut String, server: &str, scenario: &str, rounds: &[&Round]) {
    let count =
        |of: fn(&Verdict) -> usize| rounds.iter().map(|round| of(&round.outcome.verdict)).sum::<usize>();
    let seconds = |of: fn(&Verdict) -> Duration| {
        rounds.iter().map(|round| of(&round.outcome.verdict)).sum::<Duration>().as_secs_f64()
    };
    writeln!(
        out,
        "| {server} | {scenario} | {} | {} | {} | {} | {} | {} | {:.3} | {:.3} | {} | {} | {} |",
        rounds.len(),
        rounds.iter().filter(|round| round.passed()).count(),
        count(|verdict| verdict.acknowledged),
        count(|verdict| verdict.lost.len()),
        count(|verdict| verdict.announced.len()),
        count(|verdict| verdict.doubled.len()),
        seconds(|verdict| verdict.two_writable),
        seconds(|verdict| verdict.overridden),
        rounds.iter().filter(|round| round.outcome.illegal_end).count(),
        median_and_most(rounds.iter().filter_map(|round| round.outcome.took_over).collect()),
        median_and_most(rounds.iter().map(|round| round.outcome.recovered).collect()),
    )
    .expect("a text takes it");
}

fn median_and_most(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    match (times.get(times.len() / 2), times.last()) {
        (Some(median), Some(most)) => {
            format!("{:.1} (≤ {:.1})", median.as_secs_f64(), most.as_secs_f64())
        }
        _ => "–".into(),
    }
}
