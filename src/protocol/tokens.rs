//! What the opaque identifiers of tokens hold. Only the issuer and the verifier look inside.

use serde::{Deserialize, Serialize};

use crate::ids::{ApplicationAttemptId, ContainerId, NodeId};
use crate::resource::Resource;
use crate::time::Now;

/// [`Token::kind`](crate::rpc::token::Token) of a right to start one container. YARN's `ContainerToken`.
pub const CONTAINER_TOKEN: &str = "ContainerToken";
/// Kind of an application master's right to speak for its attempt. YARN's `YARN_AM_RM_TOKEN`.
pub const AM_RM_TOKEN: &str = "YARN_AM_RM_TOKEN";

/// Identifier of a container token (JSON bytes).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerTokenIdentifier {
    /// The container it starts.
    pub container: ContainerId,
    /// The only node that may start it.
    pub node: NodeId,
    /// Who submitted the application.
    pub user: String,
    /// What the container may use.
    pub resource: Resource,
    /// Priority of the ask.
    pub priority: u32,
    /// After this moment the node refuses it.
    pub expires_at: Now,
    /// The ResourceManager's identity (its store's timestamp); a node refuses tokens of another.
    pub resource_manager: u64,
}

/// Identifier of an AM-RM token (JSON bytes).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmRmTokenIdentifier {
    /// The attempt whose master holds it.
    pub attempt: ApplicationAttemptId,
}
