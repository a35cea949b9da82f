//! Who may start what here: container tokens and launch contexts are proven once, before anything happens. Pure.

use super::error::Refused;
use crate::ids::{ContainerId, NodeId};
use crate::protocol::container::LaunchContext;
use crate::protocol::tokens::{CONTAINER_TOKEN, ContainerTokenIdentifier};
use crate::rpc::token::{SigningKey, Token};
use crate::time::Now;

/// What the ResourceManager said when this node registered.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The ResourceManager's identity.
    pub resource_manager: u64,
    /// Its epoch.
    pub epoch: u64,
    /// What container tokens are signed with.
    pub key: SigningKey,
}

/// Proves that `token` was signed by the ResourceManager of `registration` for a container on `node`. Says nothing of its time.
///
/// # Errors
/// [`Refused::BadToken`] with what is wrong.
pub(super) fn verify(
    token: &Token,
    registration: &Registration,
    node: &NodeId,
) -> Result<ContainerTokenIdentifier, Refused> {
    let bad = |why: String| Refused::BadToken { why };
    if token.kind != CONTAINER_TOKEN {
        return Err(bad(format!("it is a {}, not a {CONTAINER_TOKEN}", token.kind)));
    }
    registration.key.verify(token).map_err(|forged| bad(forged.to_string()))?;
    let identifier: ContainerTokenIdentifier = serde_json::from_slice(&token.identifier)
        .map_err(|error| bad(format!("its identifier is not understood: {error}")))?;
    if identifier.resource_manager != registration.resource_manager {
        let (its, ours) = (identifier.resource_manager, registration.resource_manager);
        return Err(bad(format!("it comes from ResourceManager {its}, this node's is {ours}")));
    }
    if identifier.node != *node {
        return Err(bad(format!("it is for node {}, this is {node}", identifier.node)));
    }
    Ok(identifier)
}

/// Proves that a container may be started now.
///
/// # Errors
/// [`Refused::Expired`], or [`Refused::BadContext`] with what is wrong.
pub(super) fn admit(identifier: &ContainerTokenIdentifier, context: &LaunchContext, now: Now) -> Result<(), Refused> {
    let container = identifier.container;
    if now > identifier.expires_at {
        let late = now.since(identifier.expires_at);
        return Err(Refused::Expired { container, late_ms: u64::try_from(late.as_millis()).unwrap_or(u64::MAX) });
    }
    let bad = |why: String| Err(Refused::BadContext { container, why });
    if !is_name(&identifier.user) {
        return bad(format!("`{}` is not a user's name", identifier.user));
    }
    if context.commands.iter().all(|command| command.trim().is_empty()) {
        return bad("there is no command to run".to_owned());
    }
    for (name, resource) in &context.resources {
        if let Err(why) = check_resource_name(name) {
            return bad(format!("resource `{name}` {why}"));
        }
        let digest_is_sound =
            |digest: &String| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !resource.sha256.as_ref().is_none_or(digest_is_sound) {
            return bad(format!("resource `{name}` has a malformed SHA-256"));
        }
    }
    for name in context.environment.keys() {
        if !is_variable(name) {
            return bad(format!("`{name}` is not a variable's name"));
        }
    }
    let nul = |text: &String| text.contains('\0');
    if context.environment.values().any(nul) || context.commands.iter().any(nul) {
        return bad("a NUL byte cannot be passed to a process".to_owned());
    }
    check_nesting(container, context)
}

/// A resource cannot be placed inside another one: that would write into a copy others share.
fn check_nesting(container: ContainerId, context: &LaunchContext) -> Result<(), Refused> {
    for name in context.resources.keys() {
        let outer =
            name.match_indices('/').map(|(at, _)| &name[..at]).find(|outer| context.resources.contains_key(*outer));
        if let Some(outer) = outer {
            let why = format!("resource `{name}` lies inside resource `{outer}`");
            return Err(Refused::BadContext { container, why });
        }
    }
    Ok(())
}

/// A relative path that stays inside the directory it is placed in.
fn check_resource_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.contains('\0') {
        return Err("has no usable name");
    }
    if name.starts_with('/') {
        return Err("has an absolute name; it must be relative to the work directory");
    }
    let mut parts = name.split('/');
    if parts.any(|part| matches!(part, "" | "." | "..")) {
        return Err("has a name that leaves the work directory");
    }
    Ok(())
}

/// One component of a path, made of harmless characters.
pub(super) fn is_name(text: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+');
    (1..=64).contains(&text.len()) && text.chars().all(harmless) && !text.starts_with('.')
}

pub(super) fn is_variable(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_stay_inside_the_work_directory() {
        for good in ["a", "lib/x.jar", "programs/0123", "..a/b..", "a b"] {
            assert_eq!(check_resource_name(good), Ok(()), "{good}");
        }
        for bad in ["", "/etc/passwd", "..", "a/../../b", "./a", "a//b", "a/", "a\0b"] {
            assert!(check_resource_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn users_are_one_harmless_component() {
        assert!(is_name("alice") && is_name("alice@EXAMPLE.COM") && is_name("svc-1"));
        for bad in ["", "..", ".hidden", "a/b", "a b", "a\n", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn variables_are_names_to_a_shell() {
        assert!(is_variable("_A1"));
        assert!(!is_variable("1A") && !is_variable("A-B") && !is_variable("A;rm") && !is_variable(""));
    }
}
