//! Which attempt this process is the master of.

use std::collections::BTreeMap;

use super::Error;
use crate::ids::ApplicationAttemptId;
use crate::protocol::roles::{self, SecurityEnvironment};
use crate::protocol::tokens::AM_RM_TOKEN;
use crate::rpc::token::Token;
use crate::rpc::{Security, Tls};

/// What the ResourceManager gave this process when it started it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The attempt whose master this is.
    pub attempt: ApplicationAttemptId,
    /// `host:port` of the ResourceManager.
    pub resource_manager: String,
    /// The right to speak for the attempt.
    pub token: Token,
    /// How the ResourceManager and nodes are talked to, as the node says.
    pub tls: Tls,
}

impl Identity {
    /// Reads it from this process's environment and its file of tokens.
    ///
    /// # Errors
    /// [`Error::NotAMaster`] where no ResourceManager has started this process; [`Error::Unreadable`], [`Error::InvalidId`] where
    /// what it left is damaged.
    pub fn from_environment() -> Result<Self, Error> {
        let variable = |name: &'static str| std::env::var(name).map_err(|_| Error::NotAMaster { variable: name });
        let attempt = variable(roles::APPLICATION_ATTEMPT_ID)?.parse()?;
        let resource_manager = variable(roles::RESOURCE_MANAGER)?;
        let path = variable(roles::TOKEN_FILE[0])?;
        let unreadable = |cause: String| Error::Unreadable { what: format!("the tokens in {path}"), cause };
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(crate::rpc::io_cause(&error)))?;
        let tokens: BTreeMap<String, Token> =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        let token = tokens.into_values().find(|token| token.kind == AM_RM_TOKEN);
        let token = token.ok_or_else(|| unreadable(format!("there is no {AM_RM_TOKEN} among them")))?;
        let security = std::env::var(roles::SECURITY).map(|json| SecurityEnvironment::security(&json));
        let broken = |cause: String| Error::Unreadable { what: "what the node says of TLS".to_owned(), cause };
        let tls = security.unwrap_or_else(|_| Ok(Security::default())).map_err(broken)?.tls;
        Ok(Self { attempt, resource_manager, token, tls })
    }
}
