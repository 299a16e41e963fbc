//! Hooks of a node that note what they are told.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use super::{Lab, Node};

/// Notes what it is told, fails while a file `fail` is there, and waits while a file `hold` is; both have the event in their names.
const SCRIPT: &str = "#!/bin/sh\n\
    dir=$1\n\
    cat >> \"$dir/json\"\n\
    echo \"$PMP_HA_EVENT $PMP_HA_ROLE\" >> \"$dir/told\"\n\
    while [ -e \"$dir/hold-$PMP_HA_EVENT\" ]; do sleep 0.1; done\n\
    [ ! -e \"$dir/fail-$PMP_HA_EVENT\" ] || { echo 'not today' >&2; exit 3; }\n";

/// The hooks of one node, and what they were told.
pub struct Told {
    dir: PathBuf,
}

impl Told {
    pub fn of(lab: &Lab, node: &Node, name: &str) -> Self {
        let dir = lab.dir().join(name);
        std::fs::create_dir(&dir).expect("made");
        let script = lab.dir().join("hook.sh");
        std::fs::write(&script, SCRIPT).expect("written");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("set");
        let command = format!("[\"{}\", \"{}\"]", script.display(), dir.display());
        node.configure(&format!(
            "[hooks]\nbefore = {command}\nafter = {command}\ntransition = {command}\ndeadline = 30\n"
        ));
        Self { dir }
    }

    pub fn put(&self, name: &str) {
        std::fs::write(self.dir.join(name), "").expect("written");
    }

    pub fn take(&self, name: &str) {
        std::fs::remove_file(self.dir.join(name)).expect("removed");
    }

    pub fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.join("told")).unwrap_or_default();
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Takes the lines that were told until now.
    pub fn taken(&self) -> Vec<String> {
        let lines = self.lines();
        // ignored: nothing was told
        let _ = std::fs::remove_file(self.dir.join("told"));
        lines
    }

    pub fn json(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.join("json")).unwrap_or_default();
        serde_json::Deserializer::from_str(&text)
            .into_iter::<Value>()
            .map(|each| each.expect("JSON"))
            .collect()
    }
}
