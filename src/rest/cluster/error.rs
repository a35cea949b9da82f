//! Refusals in YARN's shape.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::ids::InvalidId;
use crate::protocol::yarn_rest::RemoteException;
use crate::resourcemanager::{RefusalCode, RequestError};
use crate::rest::unread;

/// An answer that is no success.
#[derive(Debug)]
pub(super) enum Error {
    /// YARN's usual shape.
    Exception { status: StatusCode, exception: &'static str, message: String },
    /// A few of YARN's answers are plain text.
    Plain { status: StatusCode, message: String },
}

impl Error {
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        // Scripts look for this prefix of YARN's.
        let message = format!("java.lang.Exception: {}", message.into());
        Self::Exception { status: StatusCode::NOT_FOUND, exception: "NotFoundException", message }
    }

    pub(super) fn application_not_found(id: impl std::fmt::Display) -> Self {
        Self::not_found(format!("app with id: {id} not found"))
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        let (status, message) = (StatusCode::BAD_REQUEST, message.into());
        Self::Exception { status, exception: "BadRequestException", message }
    }

    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        let (status, message) = (StatusCode::UNAUTHORIZED, message.into());
        Self::Exception { status, exception: "AuthorizationException", message }
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        let (status, message) = (StatusCode::FORBIDDEN, message.into());
        Self::Exception { status, exception: "ForbiddenException", message }
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        let (status, message) = (StatusCode::INTERNAL_SERVER_ERROR, message.into());
        Self::Exception { status, exception: "WebApplicationException", message }
    }

    /// A malformed id, named as YARN names it.
    pub(super) fn invalid_id(kind: &str, text: &str, _: InvalidId) -> Self {
        Self::bad_request(format!("Invalid {kind}: {text}"))
    }
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        let refused = match error {
            RequestError::Refused(refused) => refused,
            RequestError::Unavailable => {
                let (status, message) = (StatusCode::SERVICE_UNAVAILABLE, RequestError::Unavailable.to_string());
                return Self::Exception { status, exception: "WebApplicationException", message };
            }
        };
        let (status, exception) = match refused.code {
            RefusalCode::NotFound => (StatusCode::NOT_FOUND, "NotFoundException"),
            RefusalCode::BadRequest | RefusalCode::VersionMismatch => (StatusCode::BAD_REQUEST, "BadRequestException"),
            RefusalCode::InvalidResourceRequest => (StatusCode::BAD_REQUEST, "InvalidResourceRequestException"),
            RefusalCode::Forbidden => (StatusCode::UNAUTHORIZED, "AuthorizationException"),
            RefusalCode::AttemptNotFound => (StatusCode::NOT_FOUND, "ApplicationAttemptNotFoundException"),
            RefusalCode::NotRegistered => (StatusCode::CONFLICT, "ApplicationMasterNotRegisteredException"),
        };
        Self::Exception { status, exception, message: refused.message }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::Exception { status, exception, message } => {
                let mut response = super::json(&RemoteException::new(exception, message));
                *response.status_mut() = status;
                response
            }
            Self::Plain { status, message } => {
                let label = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
                (status, label, Extension(crate::rest::Plain), message).into_response()
            }
        }
    }
}

/// The body, refused in YARN's form where it is too large or breaks off.
pub(super) struct Content(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Content {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        Bytes::from_request(request, state).await.map(Self).map_err(|error| Error::Exception {
            status: error.status(),
            exception: "BadRequestException",
            message: unread(error.status(), &error.body_text()),
        })
    }
}
