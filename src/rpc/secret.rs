//! The cluster's shared secret: who may register as a node or TaskManager.

use std::{fmt, io};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Bearer, Tls, Tokens};

/// The HTTP header that carries a [`ClusterSecret`].
pub const SECRET_HEADER: &str = "x-flott-secret";

/// The cluster's shared secret. Neither its `Debug` nor its `Display` shows it.
#[derive(Clone)]
pub struct ClusterSecret(String);

impl ClusterSecret {
    /// Takes `text` without surrounding white space (files end in a newline); `None` if nothing remains.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// A fresh one, for an application.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn generate() -> io::Result<Self> {
        super::token::SigningKey::generate().map(|key| Self(key.to_hex()))
    }

    /// Whether `presented` is this secret. Takes the same time wherever they differ.
    pub fn matches(&self, presented: &str) -> bool {
        digest(&self.0).verify(&digest(presented).finalize().into_bytes()).is_ok()
    }

    /// The secret itself, for a header or a child's environment. Never log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// What a process shows when it asks another, and how it is protected on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Shared by the parts of a cluster or of an application.
    pub secret: Option<ClusterSecret>,
    /// A user's.
    pub token: Option<Bearer>,
    /// Whether it goes encrypted, and the certificate that is shown.
    pub tls: Tls,
}

/// What a daemon demands of those who ask it, and how it talks to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Certificates, and whether everything goes encrypted.
    pub tls: Tls,
    /// Of those who ask.
    pub tokens: Tokens,
}

impl Security {
    /// Whether strangers are told from friends.
    pub fn is_guarded(&self) -> bool {
        self.tls.is_on() || !self.tokens.is_empty()
    }
}

fn digest(text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"flott cluster secret").expect("an HMAC key may have any length");
    mac.update(text.as_bytes());
    mac
}

impl PartialEq for ClusterSecret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for ClusterSecret {}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(******)")
    }
}

impl fmt::Display for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_itself_and_never_shows() {
        let secret = ClusterSecret::new(" open sesame\n").unwrap();
        assert!(secret.matches("open sesame"));
        assert!(!secret.matches("open sesam"));
        assert!(!secret.matches(""));
        assert!(!format!("{secret:?} {secret}").contains("sesame"));
        assert!(ClusterSecret::new(" \n").is_none());
    }
}
