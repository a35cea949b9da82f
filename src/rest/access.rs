//! Who may ask for what: the one place that every request to a daemon passes.
//!
//! ```text
//! request ─► need of its path ─┐
//!            certificate, secret or token ─► role ─┴─► on to the API │ 401 who are you │ 403 not you
//! ```
//!
//! A member of the cluster, by its certificate or a secret that it shares with this daemon, may do everything; who shows a token,
//! what the token is for. Pages hold nothing and are for everybody: a browser must load one before it can ask for a token.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use tracing::debug;

use crate::config::Security;
use crate::rpc::http::Peer;
use crate::rpc::{ClusterSecret, Role, SECRET_HEADER};

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing, or it brings its own proof, which the handler checks.
    Nothing,
    /// To come from a member, where members have certificates. What else it needs the other side of the link judges.
    Membership,
    Read,
    Write,
}

/// How a daemon's API meets strangers.
#[derive(Clone, Copy)]
pub struct Face {
    pub(super) need: fn(&Method, &str) -> Need,
    /// A refusal in the API's own shape.
    pub(super) refusal: fn(StatusCode, String) -> Response,
}

/// What is demanded, and what opens.
#[derive(Clone, Debug)]
pub struct Access {
    /// Tokens and certificates.
    pub security: Security,
    /// Secrets of others that belong to this daemon.
    pub secrets: Vec<ClusterSecret>,
}

impl Access {
    /// Puts `router` behind a guard, if there is anything to guard it with.
    pub fn guard(self, router: Router, face: Face) -> Router {
        if !self.security.is_guarded() {
            return router;
        }
        router.layer(middleware::from_fn_with_state((Arc::new(self), face), check))
    }

    fn role(&self, peer: Option<&Peer>, headers: &HeaderMap) -> Option<Role> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let is_member = peer.is_some_and(|peer| peer.member);
        let knows_secret = || {
            let shown = text(SECRET_HEADER)?;
            self.secrets.iter().any(|secret| secret.matches(shown)).then_some(Role::Admin)
        };
        let has_token = || self.security.tokens.role(text(AUTHORIZATION.as_str())?);
        is_member.then_some(Role::Admin).or_else(knows_secret).or_else(has_token)
    }
}

async fn check(State((access, face)): State<(Arc<Access>, Face)>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let need = (face.need)(request.method(), request.uri().path());
    let role = access.role(peer.as_ref(), request.headers());
    match verdict(need, role, access.security.tls.is_on(), peer.is_some_and(|peer| peer.member)) {
        Ok(()) => {
            if let Some(role) = role {
                request.extensions_mut().insert(role);
            }
            next.run(request).await
        }
        Err((status, message)) => {
            debug!(method = %request.method(), path = request.uri().path(), %status, "refused");
            let mut response = (face.refusal)(status, message.to_owned());
            if status == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"flott\""));
            }
            response
        }
    }
}

fn verdict(need: Need, role: Option<Role>, tls: bool, member: bool) -> Result<(), (StatusCode, &'static str)> {
    match (need, role) {
        (Need::Nothing, _) | (Need::Read, Some(Role::Reader | Role::Admin)) | (Need::Write, Some(Role::Admin)) => {
            Ok(())
        }
        (Need::Membership, _) if member || !tls => Ok(()),
        (Need::Membership, _) => {
            Err((StatusCode::FORBIDDEN, "links are for this cluster's members; show a certificate of its authority"))
        }
        (Need::Write, Some(Role::Reader)) => {
            Err((StatusCode::FORBIDDEN, "this token allows to look, not to change anything; show an admin's"))
        }
        (Need::Read | Need::Write, None) => Err((
            StatusCode::UNAUTHORIZED,
            "show a token this cluster knows (Authorization: Bearer TOKEN; flott's commands: --token-file FILE or FLOTT_TOKEN)",
        )),
    }
}

/// Whether a method changes nothing.
pub(super) fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// What everything that is not special needs.
pub(super) fn usual(method: &Method) -> Need {
    if reads(method) { Need::Read } else { Need::Write }
}

/// Whether a path is that of a page or one of its files.
pub(super) fn is_page(method: &Method, path: &str) -> bool {
    reads(method) && (matches!(path, "/" | "/index.html" | "/favicon.ico") || path.starts_with("/assets/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::{cluster, flink, node, task_manager};
    use crate::rpc::{Tls, Tokens};

    #[test]
    fn each_role_gets_what_it_needs_and_no_more() {
        let all = [None, Some(Role::Reader), Some(Role::Admin)];
        let statuses = |need: Need| {
            all.map(|role| verdict(need, role, false, false).map_or_else(|(status, _)| status.as_u16(), |()| 200))
        };
        assert_eq!(statuses(Need::Nothing), [200, 200, 200]);
        assert_eq!(statuses(Need::Read), [401, 200, 200]);
        assert_eq!(statuses(Need::Write), [401, 403, 200]);
        assert_eq!(statuses(Need::Membership), [200, 200, 200], "without TLS the link's own proof decides");
        assert!(verdict(Need::Membership, Some(Role::Admin), true, false).is_err(), "a token makes no member");
        assert!(verdict(Need::Membership, None, true, true).is_ok());
    }

    #[test]
    fn a_role_comes_from_a_certificate_a_secret_or_a_token() {
        let tokens = Tokens::new("a-token-of-an-admin", "a-token-of-a-reader").unwrap();
        let access = Access {
            security: Security { tls: Tls::OFF, tokens },
            secrets: ClusterSecret::new("open sesame").into_iter().collect(),
        };
        let role = |name: &'static str, value: &'static str, member: bool| {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))]);
            access.role(Some(&Peer { member }), &headers)
        };
        assert_eq!(role("x-nothing", "", false), None);
        assert_eq!(role("x-nothing", "", true), Some(Role::Admin));
        assert_eq!(role(SECRET_HEADER, "open sesame", false), Some(Role::Admin));
        assert_eq!(role(SECRET_HEADER, "open barley", false), None);
        assert_eq!(role("authorization", "Bearer a-token-of-an-admin", false), Some(Role::Admin));
        assert_eq!(role("authorization", "Bearer a-token-of-a-reader", false), Some(Role::Reader));
        assert_eq!(role("authorization", "Bearer a-token-of-nobody", false), None);
    }

    #[test]
    fn what_a_path_needs() {
        let check = |face: Face, requests: &[(Method, &str, Need)]| {
            for (method, path, need) in requests {
                assert_eq!((face.need)(method, path), *need, "{method} {path}");
            }
        };
        check(
            flink::FACE,
            &[
                (Method::GET, "/", Need::Nothing),
                (Method::GET, "/assets/app.css", Need::Nothing),
                (Method::POST, "/", Need::Write),
                (Method::GET, "/jobs/overview", Need::Read),
                (Method::GET, "/v1/jobs/1/yarn-cancel", Need::Write),
                (Method::GET, "/blobs/00", Need::Nothing),
                (Method::POST, "/v1/jars/upload", Need::Write),
                (Method::GET, "/link/worker", Need::Membership),
            ],
        );
        check(
            cluster::FACE,
            &[
                (Method::GET, "/cluster", Need::Nothing),
                (Method::GET, "/ws/v1/cluster/apps", Need::Read),
                (Method::POST, "/ws/v1/cluster/apps", Need::Write),
                (Method::POST, "/ws/v1/cluster/application-master/allocate", Need::Nothing),
                (Method::GET, "/ws/v1/cluster/blobs/00", Need::Nothing),
                (Method::PUT, "/ws/v1/cluster/blobs/00", Need::Write),
                (Method::GET, "/proxy/application_1_0001/", Need::Nothing),
                (Method::GET, "/proxy/application_1_0001/assets/lib/net.js", Need::Nothing),
                (Method::GET, "/proxy/application_1_0001/jobs", Need::Read),
                (Method::GET, "/proxy/application_1_0001/jobs/1/yarn-cancel", Need::Write),
                (Method::PATCH, "/proxy/application_1_0001/jobs/1", Need::Write),
                (Method::GET, "/link/node", Need::Membership),
            ],
        );
        check(
            node::FACE,
            &[
                (Method::GET, "/node/containerlogs/container_1/alice", Need::Nothing),
                (Method::GET, "/ws/v1/node/containerlogs/container_1/out", Need::Read),
                (Method::POST, "/ws/v1/node/containers", Need::Nothing),
                (Method::GET, "/ws/v1/node/containers", Need::Read),
            ],
        );
        check(task_manager::FACE, &[(Method::GET, "/", Need::Read), (Method::GET, "/metrics", Need::Read)]);
    }
}
