//! Which machine a program is for, by the head of its file.

use std::fmt;

/// So many bytes of the head say it.
pub const HEAD: u64 = 20;

/// What the header of a program file contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerProgram {
    /// 32 or 64.
    pub bits: u8,
    /// The machine, if its number is known.
    pub machine: Option<&'static str>,
}

impl ServerProgram {
    /// Reads the head of an ELF file; `None` if it is none, such as a script.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        let bits = match (head.get(..4)?, head.get(4)?) {
            (b"\x7fELF", 1) => 32,
            (b"\x7fELF", 2) => 64,
            _ => return None,
        };
        let number = match (head.get(5)?, head.get(18)?, head.get(19)?) {
            (1, low, high) => u16::from_le_bytes([*low, *high]),
            (_, high, low) => u16::from_be_bytes([*high, *low]),
        };
        let machine = match number {
            3 => Some("x86"),
            21 => Some("ppc64"),
            40 => Some("arm"),
            62 => Some("x86-64"),
            183 => Some("aarch64"),
            _ => None,
        };
        Some(Self { bits, machine })
    }
}

impl fmt::Display for ServerProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bits", self.bits)?;
        self.machine.map_or(Ok(()), |machine| write!(f, " for {machine}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_says_which_machine_it_is_for() {
        let mut head = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0";
        assert_eq!(ServerProgram::of(&head).expect("ELF").to_string(), "64 bits for x86-64");
        (head[4], head[18]) = (1, 3);
        assert_eq!(ServerProgram::of(&head).expect("ELF").to_string(), "32 bits for x86");
        assert_eq!(ServerProgram::of(b"#!/bin/sh\nexec mysqld\n"), None);
        assert_eq!(ServerProgram::of(b"\x7fELF\x02"), None);
        assert_eq!(ServerProgram::of(b""), None);
    }
}
