//! Which values must not be shown.

/// What is shown instead of a secret.
pub const MASK: &str = "******";

/// As Flink masks them in its configuration listings.
const PATTERNS: [&str; 12] = [
    "password",
    "secret",
    "fs.azure.account.key",
    "apikey",
    "auth-params",
    "service-key",
    "token",
    "basic-auth",
    "jaas.config",
    "http-headers",
    // Ours: half of a pair that is one secret.
    "access-key",
    "access.key",
];

/// Whether the value of `key` must be masked in listings and logs.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    PATTERNS.iter().any(|pattern| key.contains(pattern))
}
