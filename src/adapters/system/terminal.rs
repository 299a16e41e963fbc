//! The terminal at which somebody is asked.

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};

/// How a terminal treats keys.
pub struct TerminalModes(Termios);

impl TerminalModes {
    /// Those of the terminal from which answers come, if there is one.
    #[must_use]
    pub fn of_the_input() -> Option<Self> {
        tcgetattr(std::io::stdin()).ok().map(Self)
    }

    /// Sets them again.
    pub fn restore(&self) {
        // ignored: a terminal that is gone needs no modes
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.0);
    }
}
