//! Command lines of the form `--name value --switch POSITIONAL`, enough for three small programs.

use std::process::exit;

/// The arguments of a program, taken away one by one.
pub struct Args {
    usage: &'static str,
    words: Vec<String>,
}

impl Args {
    /// The arguments of this process. `--help` prints `usage` and ends it.
    pub fn of_process(usage: &'static str) -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        if words.iter().any(|word| word == "--help" || word == "-h") {
            println!("{usage}");
            exit(0);
        }
        Self { usage, words }
    }

    /// Whether the switch was given.
    pub fn switch(&mut self, name: &str) -> bool {
        let found = self.words.iter().position(|word| word == name);
        found.inspect(|&at| drop(self.words.remove(at))).is_some()
    }

    /// The value after `name`.
    pub fn value(&mut self, name: &str) -> Option<String> {
        let at = self.words.iter().position(|word| word == name)?;
        if at + 1 == self.words.len() {
            self.refuse(&format!("{name} wants a value"));
        }
        self.words.remove(at);
        Some(self.words.remove(at))
    }

    /// The number after `name`, with the suffixes k, m, g (powers of 1000) and ki, mi, gi (powers of 1024).
    pub fn number(&mut self, name: &str) -> Option<u64> {
        let text = self.value(name)?;
        match parse_number(&text) {
            Some(number) => Some(number),
            None => self.refuse(&format!("{name} {text}: not a number such as 5000, 64ki or 1g")),
        }
    }

    /// The arguments that are left; an unknown switch among them ends the process.
    pub fn positional(self) -> Vec<String> {
        if let Some(unknown) = self.words.iter().find(|word| word.len() > 1 && word.starts_with('-')) {
            self.refuse(&format!("unknown option {unknown}"));
        }
        self.words
    }

    /// Ends the process with the reason and the usage.
    pub fn refuse(&self, reason: &str) -> ! {
        eprintln!("{reason}\n{}", self.usage);
        exit(2);
    }
}

fn parse_number(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &lower[digits.len()..] {
        "" => 1,
        "k" => 1000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}
