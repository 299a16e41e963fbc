//! `pmp-ha events`

use anyhow::{Result, bail};

use super::Context;
use crate::adapters::chronicle::Chronicle;
use crate::adapters::clock;
use crate::cli::EventsArgs;
use crate::domain::chronicle::availability::Availability;
use crate::domain::chronicle::occurrence::Occurrences;
use crate::domain::chronicle::since::since;
use crate::failure::{Failure, Kind};

pub fn run(context: &Context<'_>, args: &EventsArgs) -> Result<()> {
    let home = context.home()?;
    let now = clock::seconds();
    let begin = match args.since.as_deref().map(|text| since(text, now)) {
        None => 0,
        Some(Ok(begin)) => begin,
        Some(Err(why)) => bail!(Failure::new(Kind::Usage, "cannot use --since").because(why).hint(
            "Write a length of time like 24h or 7d, a day like 2026-02-03, or a time like 2026-02-03T04:05Z."
        )),
    };
    let chronicle = Chronicle::at(home.chronicle());
    if !chronicle.has_begun() {
        context.ui.say("No monitor has watched this home yet: see `pmp-ha monitor`.");
    }
    let kept = chronicle.read(u64::MAX, begin)?;
    if args.availability {
        return context.ui.data(&Availability::from(&kept.tally));
    }
    context.ui.data(&Occurrences::from(kept.occurrences))
}
