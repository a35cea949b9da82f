//! Signed tokens: what the ResourceManager grants, and nodes and services check without asking it. Hadoop's `Token`.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Sha256;

use super::{ClusterSecret, ErrorKind};

/// A claim (`identifier`, opaque to all but its issuer) and the proof that the holder of the key made it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// What sort of claim, for example `ContainerToken`; each kind is signed with a key of its own.
    pub kind: String,
    /// Where it is to be presented, for example `host:port`. As in Hadoop not covered by the signature.
    pub service: String,
    /// The claim.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub identifier: Vec<u8>,
    /// HMAC-SHA256 of the identifier.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub password: Vec<u8>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} for {}, {} bytes)", self.kind, self.service, self.identifier.len())
    }
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    STANDARD.decode(text.as_bytes()).map_err(de::Error::custom)
}

impl Token {
    /// What its issuer and its holder know and nobody else: who puts a front before the holder shows it there.
    pub fn front_secret(&self) -> ClusterSecret {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.password).expect("an HMAC key may have any length");
        mac.update(b"flott front");
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        ClusterSecret::new(&hex).expect("it has letters")
    }
}

/// A token was not made by the holder of the key, or was changed since.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {kind} is not signed by this cluster's key")]
pub struct Forged {
    kind: String,
}

impl Forged {
    /// Always [`ErrorKind::Permanent`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Permanent
    }
}

/// Why a text is not a [`SigningKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing key is {} hex digits", 2 * KEY_BYTES)]
pub struct InvalidKey;

const KEY_BYTES: usize = 32;

/// The secret that signs tokens. Its `Debug` does not show it.
#[derive(Clone)]
pub struct SigningKey([u8; KEY_BYTES]);

impl SigningKey {
    /// A new one from the operating system's cryptographic randomness.
    ///
    /// # Errors
    /// If the system has none to give.
    pub fn generate() -> io::Result<Self> {
        let mut key = [0; KEY_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        Ok(Self(key))
    }

    /// As hex digits, for the store or a registration answer. Never log it.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// From what [`SigningKey::to_hex`] gave.
    ///
    /// # Errors
    /// [`InvalidKey`] for any other text.
    pub fn from_hex(text: &str) -> Result<Self, InvalidKey> {
        let digits = text.as_bytes();
        if digits.len() != 2 * KEY_BYTES {
            return Err(InvalidKey);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut key = [0; KEY_BYTES];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0]).ok_or(InvalidKey)? << 4 | digit(pair[1]).ok_or(InvalidKey)?;
        }
        Ok(Self(key))
    }

    /// A token of `kind` that claims `identifier`.
    pub fn sign(&self, kind: &str, service: &str, identifier: &[u8]) -> Token {
        let password = self.mac(kind, identifier).finalize().into_bytes().to_vec();
        Token { kind: kind.to_owned(), service: service.to_owned(), identifier: identifier.to_vec(), password }
    }

    /// Checks that this key signed `token`, in constant time.
    ///
    /// # Errors
    /// [`Forged`] if it did not, or signed it as another kind.
    pub fn verify(&self, token: &Token) -> Result<(), Forged> {
        self.mac(&token.kind, &token.identifier)
            .verify_slice(&token.password)
            .map_err(|_| Forged { kind: token.kind.clone() })
    }

    /// Each kind has a key of its own, derived from this one: a claim of one kind is worthless as another.
    fn mac(&self, kind: &str, identifier: &[u8]) -> Hmac<Sha256> {
        let key_of_kind = keyed(&self.0, kind.as_bytes()).finalize().into_bytes();
        keyed(&key_of_kind, identifier)
    }
}

fn keyed(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC key may have any length");
    mac.update(message);
    mac
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(******)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_untouched_token_of_the_same_key_and_kind_verifies() {
        let key = SigningKey::generate().unwrap();
        let token = key.sign("ContainerToken", "n1:8042", b"container_1");
        assert_eq!(key.verify(&token), Ok(()));
        let moved = Token { service: "n2:8042".to_owned(), ..token.clone() };
        assert_eq!(key.verify(&moved), Ok(()), "the service is an address, not a claim");

        let forgeries = [
            Token { identifier: b"container_2".to_vec(), ..token.clone() },
            Token { kind: "AMRMToken".to_owned(), ..token.clone() },
            Token { password: token.password[..31].to_vec(), ..token.clone() },
            SigningKey::generate().unwrap().sign("ContainerToken", "n1:8042", b"container_1"),
        ];
        for forgery in forgeries {
            assert!(key.verify(&forgery).is_err(), "{forgery:?}");
        }
    }

    #[test]
    fn tokens_travel_as_base64_and_keys_as_hex() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_hex(&key.to_hex()).unwrap();
        let json = serde_json::to_string(&key.sign("K", "s", &[0xff, 0, 1])).unwrap();
        assert!(json.contains(r#""identifier":"/wAB""#), "{json}");
        let token: Token = serde_json::from_str(&json).unwrap();
        assert_eq!(again.verify(&token), Ok(()));
        assert!(SigningKey::from_hex("00").is_err());
        assert!(SigningKey::from_hex(&"+0".repeat(32)).is_err());
        assert!(!format!("{key:?}").contains(&key.to_hex()));
    }
}
