//! `pmp-ha explain [CODE...]`

use std::fmt;

use anyhow::{Result, bail};
use serde::Serialize;

use super::Context;
use crate::cli::ExplainArgs;
use crate::domain::handbook::{HandbookEntry, HandbookPart, codes, entries};
use crate::domain::words::{nearest, wrapped};
use crate::failure::{Failure, Kind};

/// The width of a text that is read, not looked up.
const WIDTH: usize = 78;

/// The column of the summaries.
const COLUMN: usize = 30;

/// What the handbook says of some codes.
#[derive(Serialize)]
struct Explained {
    explained: Vec<&'static HandbookEntry>,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, entry) in self.explained.iter().enumerate() {
            let gap = if place > 0 { "\n" } else { "" };
            writeln!(f, "{gap}{}\n", entry.code)?;
            write!(f, "{}", wrapped(&entry.text, WIDTH))?;
        }
        Ok(())
    }
}

/// Every code with its summary.
#[derive(Serialize)]
struct Codes {
    codes: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    code: &'static str,
    topic: HandbookPart,
    summary: &'static str,
}

impl fmt::Display for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut topic = None;
        for Listed { code, topic: of, summary } in &self.codes {
            if topic.replace(*of) != Some(*of) {
                let gap = if *of == HandbookPart::Finding { "" } else { "\n" };
                writeln!(f, "{gap}{}:", of.title())?;
            }
            let text = wrapped(summary, WIDTH - COLUMN);
            let mut lines = text.lines();
            writeln!(f, "  {code:<width$}{}", lines.next().unwrap_or_default(), width = COLUMN - 2)?;
            for line in lines {
                writeln!(f, "{:COLUMN$}{line}", "")?;
            }
        }
        Ok(())
    }
}

pub fn run(context: &Context<'_>, args: &ExplainArgs) -> Result<()> {
    if args.codes.is_empty() {
        let listed = |entry: &'static HandbookEntry| Listed {
            code: entry.code,
            topic: entry.topic,
            summary: &entry.summary,
        };
        return context.ui.data(&Codes { codes: entries().iter().map(listed).collect() });
    }
    let explained = args.codes.iter().map(|code| entry(code)).collect::<Result<_>>()?;
    context.ui.data(&Explained { explained })
}

fn entry(code: &str) -> Result<&'static HandbookEntry> {
    // As it is printed, with its brackets.
    let bare = code.trim_matches(['[', ']', '`']).to_lowercase();
    if let Some(entry) = entries().iter().find(|entry| entry.code == bare) {
        return Ok(entry);
    }
    let near = nearest(&bare, codes());
    let hint = if near.is_empty() {
        "`pmp-ha explain` lists every code.".to_owned()
    } else {
        format!("Did you mean {}?", near.join(", "))
    };
    bail!(Failure::new(Kind::Usage, format!("there is no code {bare}")).hint(hint))
}
