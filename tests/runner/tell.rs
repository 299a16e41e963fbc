//! What is said of the tests.

use crate::list::{BROUGHT, is_of};
use crate::one::Ended;

/// How many of the slowest tests are named.
const SLOWEST: usize = 10;

/// How many lines of a failed test are said again at the end.
const LINES: usize = 40;

/// Says that a test has ended.
pub fn end(test: &Ended) {
    let word = if test.passed { "ok    " } else { "FAILED" };
    println!("{word} {:6.1} s {:6.1} s  {}", test.took.as_secs_f64(), test.worked, test.name);
    if !test.passed {
        println!("\n---- {} stdout ----\n{}", test.name, test.said);
    }
}

/// Says how all of them ended, and whether all of them passed.
pub fn result(ended: &[Ended], left: usize) -> bool {
    let failed: Vec<&Ended> = ended.iter().filter(|test| !test.passed).collect();
    // Once more where it is looked for, without the whole story.
    for test in &failed {
        println!("\nFAILED {}\n{}", test.name, why(&test.said));
    }
    let mut by_time: Vec<&Ended> = ended.iter().collect();
    by_time.sort_by_key(|test| std::cmp::Reverse(test.took));
    let worked: f64 = ended.iter().map(|test| test.worked).sum();
    println!("\nthe processors worked {worked:.0} s; the slowest tests, and how long they worked for each:");
    for test in by_time.iter().take(SLOWEST) {
        println!("{:6.1} s {:6.1} s  {}", test.took.as_secs_f64(), test.worked, test.name);
    }
    println!("\n{} passed, {} failed", ended.len() - failed.len(), failed.len());
    if left > 0 {
        println!("left to --every-server: {left}");
    }
    failed.is_empty()
}

/// Says which tests nobody has run.
pub fn not_tested(of_two_accounts: &[String]) {
    if of_two_accounts.is_empty() {
        return;
    }
    println!("NOT TESTED, because only root can be two accounts: {}", of_two_accounts.len());
    for name in of_two_accounts {
        println!("  {name}");
    }
}

/// Says how many tests nobody has run for want of a server.
pub fn not_brought(tests: &[String]) {
    for server in BROUGHT {
        let number = tests.iter().filter(|test| is_of(test, server)).count();
        if number > 0 {
            println!("NOT RUN: {number} promises on {server}, which is not in the servers' folder");
        }
    }
}

/// The lines with which a test gave up.
fn why(said: &str) -> String {
    let lines = said.lines().skip_while(|line| !line.contains("panicked at"));
    lines.take_while(|line| !line.starts_with("stack backtrace:")).take(LINES).collect::<Vec<_>>().join("\n")
}
