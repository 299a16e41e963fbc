//! Reads what `teardown` needs to know of a home. It changes nothing.

use std::path::Path;

use anyhow::Result;

use crate::adapters::home::{Home, kept, traces};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look::home;
use crate::adapters::system;
use crate::domain::procedures::teardown::{ScriptSeen, TeardownScene};
use crate::domain::start_script::{is_only_wired, is_wired};
use crate::domain::unit::UNIT;

/// Where the monitor's unit is, if it was installed.
const UNITS: &str = "/etc/systemd/system";

/// Everything about it.
pub async fn scene(home: &Home, discard: bool, interrupt: &Interrupt) -> Result<TeardownScene> {
    let found = traces::of(home)?;
    Ok(TeardownScene {
        home: home::scene(home, interrupt).await?,
        script: script(home),
        traces: found.files,
        has_history: traces::has_history(home),
        kept: kept::read(home)?.map(|kept| kept.data),
        saved_rows: found.saved_rows,
        discard,
        unit: unit(home),
    })
}

fn script(home: &Home) -> ScriptSeen {
    let read = |path: &Path| system::read_text(path, system::SMALL).ok();
    let before = home.start_script().with_extension("sh.before-pmp-ha");
    match (read(&home.start_script()), read(&before)) {
        (Some(now), _) if !is_wired(&now) => ScriptSeen::NotWired,
        (None, _) => ScriptSeen::NotWired,
        (Some(_), None) => ScriptSeen::NothingBefore,
        (Some(now), Some(before)) => {
            let wired = home.wire(&before, &home.option_file(), None);
            let is_it = wired.is_ok_and(|wired| is_only_wired(&now, &wired.script));
            if is_it { ScriptSeen::Wired } else { ScriptSeen::Changed }
        }
    }
}

/// The unit of the monitor, if it names this home.
fn unit(home: &Home) -> Option<String> {
    let path = Path::new(UNITS).join(UNIT);
    let text = system::read_text(&path, system::SMALL).ok()?;
    text.contains(&*home.root().to_string_lossy()).then(|| path.display().to_string())
}
