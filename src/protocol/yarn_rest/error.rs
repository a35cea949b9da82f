//! Errors as YARN's web services shape them.

use serde::{Deserialize, Serialize};

/// The body of an error: `{"RemoteException":{…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteException {
    /// What went wrong.
    #[serde(rename = "RemoteException")]
    pub exception: RemoteExceptionBody,
}

/// The inside of a [`RemoteException`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoteExceptionBody {
    /// Class name without its package: `NotFoundException`.
    pub exception: String,
    /// The cause.
    pub message: String,
    /// Class name with its package.
    pub java_class_name: String,
}

impl RemoteException {
    /// `exception` is a class of YARN's web applications (`NotFoundException`, `BadRequestException`, `ForbiddenException`) or one
    /// of Java's own or of YARN's exceptions, for which the package is known here.
    pub fn new(exception: &str, message: impl Into<String>) -> Self {
        let package = match exception {
            "IllegalArgumentException" => "java.lang",
            "IOException" => "java.io",
            "AuthorizationException" => "org.apache.hadoop.security.authorize",
            "InvalidResourceRequestException" | "YarnException" => "org.apache.hadoop.yarn.exceptions",
            _ => "org.apache.hadoop.yarn.webapp",
        };
        Self {
            exception: RemoteExceptionBody {
                exception: exception.to_owned(),
                message: message.into(),
                java_class_name: format!("{package}.{exception}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_shape_clients_look_for() {
        let error = RemoteException::new("NotFoundException", "java.lang.Exception: app with id: x not found");
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"RemoteException":{"exception":"NotFoundException","message":"java.lang.Exception: app with id: x not found","javaClassName":"org.apache.hadoop.yarn.webapp.NotFoundException"}}"#
        );
    }
}
