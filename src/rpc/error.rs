//! How failures are classified, once, for everyone who decides about restarts and retries.

use std::io;

/// What a caller can do about an error. Restart policies and retries read this, never a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorKind {
    /// May go away by itself: try again, with backoff.
    Transient,
    /// Will happen again: report it.
    Permanent,
    /// Somebody newer has taken over: stop.
    Fenced,
    /// The user's code or input is at fault: tell them.
    User,
}

/// The cause in an operator's words (`connection refused`), without the operating system's number where it has a name.
pub fn io_cause(error: &io::Error) -> String {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return super::tls::explain(tls);
    }
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return io_cause(inner);
    }
    let text = error.to_string();
    if text == "stream did not contain valid UTF-8" {
        return "it is not text in UTF-8".to_owned();
    }
    if text.starts_with("failed to lookup address information") {
        return "no such host is known".to_owned();
    }
    match text.split_once(" (os error ") {
        Some((words, _)) => {
            let mut letters = words.chars();
            letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_words() {
        assert_eq!(io_cause(&io::Error::from_raw_os_error(111)), "connection refused");
        assert_eq!(io_cause(&io::Error::other("the disk is on fire")), "the disk is on fire");
        assert_eq!(io_cause(&io::Error::from_raw_os_error(5)), "input/output error");
        let not_text = io::read_to_string(&[0xff][..]).unwrap_err();
        assert_eq!(io_cause(&not_text), "it is not text in UTF-8");
    }
}
