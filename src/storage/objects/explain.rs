//! What a store's refusal means, and what to do about it.

use std::error::Error as StdError;
use std::io;

use object_store::Error as Refused;

use crate::rpc::{ErrorKind, io_cause};
use crate::storage::Error;

/// The cause that says an object is not there.
const ABSENT: &str = "no such object";

/// `cannot read s3://bucket/key: cause; what to do`.
pub(super) fn error(verb: &'static str, place: &str, refused: &Refused) -> Error {
    let (cause, kind) = cause(refused);
    Error::Object { verb, place: place.to_owned(), cause, kind }
}

/// Whether it says that there is no such object.
pub(super) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Object { cause, .. } if cause == ABSENT)
}

fn cause(refused: &Refused) -> (String, ErrorKind) {
    let (innermost, text) = innermost(refused);
    let user = |words: &str| (words.to_owned(), ErrorKind::User);
    if let Some(code) = tagged(&text, "Code") {
        if let Some(words) = words_for(code) {
            return user(words);
        }
        let said = tagged(&text, "Message").unwrap_or_default();
        let kind = if is_server_error(&text) { ErrorKind::Transient } else { ErrorKind::Permanent };
        return (format!("the store says {code}: {said}"), kind);
    }
    if text.contains("169.254.169.254") || text.contains("169.254.170.2") {
        return user(
            "there are no keys for the store; set s3.access-key and s3.secret-key in conf/flott.yaml of each machine, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where the daemons start",
        );
    }
    match refused {
        Refused::InvalidPath { source } => return (format!("{source}; name another directory"), ErrorKind::User),
        Refused::NotFound { .. } => return (ABSENT.to_owned(), ErrorKind::Permanent),
        Refused::PermissionDenied { .. } | Refused::Unauthenticated { .. } => {
            return user("the store refuses the key; look at s3.access-key or AWS_ACCESS_KEY_ID and what it may do");
        }
        _ if text.contains("redirect") => return user(ELSEWHERE),
        _ => {}
    }
    if let Some((_, status)) = text.split_once("non-2xx status code: ") {
        let status = status.split(':').next().unwrap_or(status).trim();
        let kind = if is_server_error(&text) { ErrorKind::Transient } else { ErrorKind::Permanent };
        return (format!("the store answers {status}"), kind);
    }
    let cause = match innermost.downcast_ref::<io::Error>() {
        Some(error) => io_cause(error),
        None => innermost.to_string(),
    };
    (format!("the store is not reached: {cause}; look at s3.endpoint, and whether it runs"), ErrorKind::Transient)
}

const ELSEWHERE: &str = "the bucket is in another region; set s3.region or AWS_REGION to its own";

fn words_for(code: &str) -> Option<&'static str> {
    Some(match code {
        "NoSuchBucket" => "there is no such bucket; make it, or mend the address",
        "NoSuchKey" | "NotFound" => ABSENT,
        "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
            "the store does not know the access key; look at s3.access-key or AWS_ACCESS_KEY_ID"
        }
        "SignatureDoesNotMatch" => {
            "the secret key is not that of the access key; look at s3.secret-key or AWS_SECRET_ACCESS_KEY"
        }
        "ExpiredToken" | "InvalidToken" => "the session's token is not valid any more; look at AWS_SESSION_TOKEN",
        "RequestTimeTooSkewed" | "RequestExpired" => {
            "this machine's clock differs too much from the store's; set it, best by NTP"
        }
        "AccessDenied" | "AllAccessDisabled" => {
            "the access key may not do this; it needs to list the bucket and to read, write and delete objects below the directory"
        }
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => ELSEWHERE,
        _ => return None,
    })
}

/// The deepest cause, and what all of them say.
fn innermost<'a>(refused: &'a Refused) -> (&'a (dyn StdError + 'static), String) {
    let (mut error, mut text) = (refused as &(dyn StdError + 'static), refused.to_string());
    while let Some(source) = error.source() {
        error = source;
        text.push('\n');
        text.push_str(&error.to_string());
    }
    (error, text)
}

fn is_server_error(text: &str) -> bool {
    ["status code: 5", "status code: 429", "status code: 408", "InternalError", "SlowDown"]
        .iter()
        .any(|sign| text.contains(sign))
}

/// What stands between `<tag>` and `</tag>`.
fn tagged<'t>(text: &'t str, tag: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{tag}>"))?;
    Some(rest.split_once("</")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(refused: &Refused) -> String {
        error("read", "s3://b/k", refused).to_string()
    }

    fn answer(text: &str) -> Refused {
        Refused::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn a_refusal_says_what_to_do_and_no_key() {
        let xml = |code: &str| {
            let body = format!("<Error><Code>{code}</Code><Message>no</Message><AWSAccessKeyId>AKIA0</AWSAccessKeyId>");
            answer(&format!("Server returned non-2xx status code: 403 Forbidden: {body}"))
        };
        for (code, expected) in [
            ("NoSuchBucket", "there is no such bucket; make it"),
            ("InvalidAccessKeyId", "s3.access-key"),
            ("SignatureDoesNotMatch", "s3.secret-key"),
            ("RequestTimeTooSkewed", "clock"),
            ("PermanentRedirect", "s3.region"),
            ("Peculiar", "the store says Peculiar: no"),
        ] {
            let said = said(&xml(code));
            assert!(said.starts_with("cannot read s3://b/k: ") && said.contains(expected), "{said}");
            assert!(!said.contains("AKIA0"), "{said}");
        }
        let busy = answer("Server returned non-2xx status code: 503 Service Unavailable: ");
        assert_eq!(said(&busy), "cannot read s3://b/k: the store answers 503 Service Unavailable");
        assert_eq!(error("read", "s3://b/k", &busy).kind(), ErrorKind::Transient);
        let refused = Refused::Generic { store: "S3", source: Box::new(io::Error::from_raw_os_error(111)) };
        assert_eq!(
            said(&refused),
            "cannot read s3://b/k: the store is not reached: connection refused; look at s3.endpoint, and whether it runs"
        );
        assert!(is_absent(&error(
            "read",
            "s3://b/k",
            &Refused::NotFound { path: "k".to_owned(), source: "gone".into() }
        )));
    }
}
