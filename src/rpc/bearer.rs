//! Bearer tokens: who may read, who may change something. HTTP's `Authorization: Bearer …`.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The shortest token that is taken: below, trying them all is a matter of days.
const LETTERS_MIN: usize = 16;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Reader,
    /// Look, submit, cancel, upload.
    Admin,
}

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is a word of at least {LETTERS_MIN} letters, digits or signs; `openssl rand -hex 32` makes one")]
pub struct InvalidBearer;

/// A token that this process shows. Neither its `Debug` nor anything else prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(String);

impl Bearer {
    /// Takes `text` without surrounding white space (files end in a newline).
    ///
    /// # Errors
    /// [`InvalidBearer`].
    pub fn new(text: &str) -> Result<Self, InvalidBearer> {
        let text = text.trim();
        let fit = text.len() >= LETTERS_MIN && text.bytes().all(|byte| byte.is_ascii_graphic());
        fit.then(|| Self(text.to_owned())).ok_or(InvalidBearer)
    }

    /// The value of the header `Authorization`. Never log it.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(******)")
    }
}

/// SHA-256 of a token.
type Hash = [u8; 32];

/// The tokens that a daemon takes, as hashes: who sees these, in memory or in a container's environment, cannot show one.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    admins: Vec<Hash>,
    readers: Vec<Hash>,
}

impl Tokens {
    /// From files' contents: a token a line, several while they are being exchanged; empty lines and those with `#` are left out.
    ///
    /// # Errors
    /// [`InvalidBearer`] if a line is none.
    pub fn new(admins: &str, readers: &str) -> Result<Self, InvalidBearer> {
        let hashes = |text: &str| -> Result<Vec<Hash>, InvalidBearer> {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            lines.map(|line| Bearer::new(line).map(|Bearer(token)| hash(&token))).collect()
        };
        Ok(Self { admins: hashes(admins)?, readers: hashes(readers)? })
    }

    /// Whether there are none: then nobody is asked for one.
    pub fn is_empty(&self) -> bool {
        self.admins.is_empty() && self.readers.is_empty()
    }

    /// What the value of a header `Authorization` allows; nothing if it is no token of ours. Looks at all of them, whichever it is.
    pub fn role(&self, authorization: &str) -> Option<Role> {
        let (scheme, token) = authorization.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let shown = hash(token.trim());
        let among = |hashes: &[Hash]| hashes.iter().fold(false, |found, known| equal(known, &shown) | found);
        let (admin, reader) = (among(&self.admins), among(&self.readers));
        if admin { Some(Role::Admin) } else { reader.then_some(Role::Reader) }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} admin, {} read)", self.admins.len(), self.readers.len())
    }
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text).into()
}

/// In the same time wherever they differ.
fn equal(a: &Hash, b: &Hash) -> bool {
    a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: &str = "a-token-of-an-admin";
    const READER: &str = "a-token-of-a-reader";

    #[test]
    fn a_token_allows_what_it_is_for() {
        let tokens = Tokens::new(&format!("# ours\n{ADMIN}\n\n{ADMIN}-next\n"), READER).unwrap();
        let role = |text: &str| tokens.role(text);
        assert_eq!(role(&Bearer::new(&format!("{ADMIN}\n")).unwrap().header()), Some(Role::Admin));
        assert_eq!(role(&format!("bearer {ADMIN}-next")), Some(Role::Admin));
        assert_eq!(role(&format!("Bearer {READER}")), Some(Role::Reader));
        for stranger in ["", ADMIN, "Bearer", "Bearer ", "Bearer a-token-of-an-admi", &format!("Basic {ADMIN}")] {
            assert_eq!(role(stranger), None, "{stranger}");
        }
        assert!(!tokens.is_empty() && Tokens::default().is_empty());
        assert_eq!(Tokens::default().role("Bearer "), None);
    }

    #[test]
    fn what_can_be_guessed_or_does_not_fit_into_a_header_is_no_token() {
        for text in ["", "short", "two words of enough letters", "no-ascii-äöü-äöü-äöü"] {
            assert_eq!(Bearer::new(text), Err(InvalidBearer), "{text}");
        }
        assert!(Tokens::new("", "short").is_err());
    }

    #[test]
    fn tokens_never_show() {
        let tokens = Tokens::new(ADMIN, READER).unwrap();
        let json = serde_json::to_string(&tokens).unwrap();
        assert!(!format!("{tokens:?}{:?}{json}", Bearer::new(ADMIN)).contains("a-token"));
        assert_eq!(serde_json::from_str::<Tokens>(&json).unwrap(), tokens);
    }
}
