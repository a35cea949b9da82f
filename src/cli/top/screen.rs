//! The terminal: a screen of its own while it lasts, keys as they are pressed, and everything as it was afterwards.

use std::io::{self, Read};

use anyhow::Context;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

use super::frame::{Line, Tone};
use crate::cli::output::write;

/// Keys pressed and not looked at yet; more are lost.
const KEYS_MAX: usize = 16;
/// A terminal that does not know its size.
const SIZE: (usize, usize) = (80, 24);

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Up,
    Down,
    Enter,
}

/// The terminal, while it shows a screen.
pub(super) struct Screen {
    before: Termios,
    keys: mpsc::Receiver<Key>,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn open() -> anyhow::Result<Self> {
        let before =
            tcgetattr(io::stdin()).context("top needs a terminal to read keys from; use --once without one")?;
        let mut raw = before.clone();
        raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).context("cannot read single keys")?;
        let (sender, keys) = mpsc::channel(KEYS_MAX);
        // It waits in a read when the program ends, and ends with it.
        std::thread::Builder::new().name("keys".to_owned()).spawn(move || read_keys(&sender))?;
        let screen = Self { before, keys };
        write(b"\x1b[?1049h\x1b[?25l")?;
        Ok(screen)
    }

    /// Columns and lines.
    pub(super) fn size(&self) -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (usize::from(size.ws_col), usize::from(size.ws_row)),
            Ok(_) | Err(_) => SIZE,
        }
    }

    /// The next key that means something.
    pub(super) async fn key(&mut self) -> Key {
        // Whoever has closed stdin cannot press q.
        self.keys.recv().await.unwrap_or(Key::Quit)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nobody to tell that it could not be put back.
        let _ = write(b"\x1b[?25h\x1b[?1049l");
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn read_keys(sender: &mpsc::Sender<Key>) {
    let mut pressed = [0; 16];
    while let Ok(length @ 1..) = io::stdin().read(&mut pressed) {
        if let Some(key) = meaning(&pressed[..length])
            && sender.blocking_send(key).is_err()
        {
            return;
        }
    }
}

/// Of what one key sends.
fn meaning(bytes: &[u8]) -> Option<Key> {
    match bytes {
        b"q" | b"Q" | b"\x1b" | b"\x04" => Some(Key::Quit),
        b"k" | b"\x1b[A" | b"\x1bOA" => Some(Key::Up),
        b"j" | b"\x1b[B" | b"\x1bOB" => Some(Key::Down),
        b"\r" | b"\n" | b" " => Some(Key::Enter),
        _ => None,
    }
}

/// The bytes that show these lines, and nothing below them.
pub(super) fn paint(lines: &[Line]) -> String {
    let mut bytes = "\x1b[H".to_owned();
    for (index, line) in lines.iter().enumerate() {
        let code = match line.tone {
            Tone::Plain => "0",
            Tone::Head => "1",
            Tone::Chosen => "7",
            Tone::Error => "31",
            Tone::Warning => "33",
            Tone::Quiet => "2",
        };
        let end = if index + 1 < lines.len() { "\r\n" } else { "" };
        // Control characters in a job's name are not for the terminal.
        let text: String = line.text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        bytes.push_str(&format!("\x1b[{code}m{text}\x1b[0m\x1b[K{end}"));
    }
    bytes + "\x1b[J"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_the_help_says() {
        let keys = [&b"\x1b[A"[..], b"\x1b[B", b"\r", b"q", b"x", b"\x1b[5~"].map(meaning);
        assert_eq!(keys, [Some(Key::Up), Some(Key::Down), Some(Key::Enter), Some(Key::Quit), None, None]);
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        let line = Line { text: "a\x1b[2Jb".to_owned(), tone: Tone::Plain };
        assert_eq!(paint(&[line]), "\x1b[H\x1b[0ma?[2Jb\x1b[0m\x1b[K\x1b[J");
    }
}
