//! Connecting to a bucket.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::client::{HttpClient, HttpConnector};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls_platform_verifier::BuilderVerifierExt;

use crate::config::{S3Config, S3Keys};
use crate::rpc::Tls;

/// For a connection to stand.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// For one request with its answer: a part of 8 MiB in such a time is 280 kB/s.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// From a request's first try to its last.
const RETRY_MAX: Duration = Duration::from_secs(45);
/// Tries within that; the pauses between them grow, and a part of each is random.
const TRIES_MAX: usize = 12;
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A bucket as `config` and the `AWS_…` variables say.
pub(super) fn connect(config: &S3Config, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    let S3Config { endpoint, region, path_style, keys } = config;
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_allow_http(true) // Where the address says so.
        .with_retry(retries())
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_http_connector(Connector);
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    if let Some(S3Keys { access, secret }) = keys {
        builder = builder.with_access_key_id(access).with_secret_access_key(secret);
    }
    let in_path = path_style.unwrap_or(endpoint.is_some());
    builder = match endpoint {
        Some(endpoint) if in_path => builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false),
        Some(endpoint) => {
            builder.with_endpoint(with_bucket_in_host(endpoint, bucket)).with_virtual_hosted_style_request(true)
        }
        None => match path_style {
            Some(in_path) => builder.with_virtual_hosted_style_request(!in_path),
            None => builder,
        },
    };
    Ok(Arc::new(builder.build()?))
}

fn with_bucket_in_host(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
        None => endpoint.to_owned(),
    }
}

fn retries() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: PAUSE_FIRST, max_backoff: PAUSE_MAX, base: 2.0 };
    RetryConfig { backoff, max_retries: TRIES_MAX, retry_timeout: RETRY_MAX }
}

/// Our own client: object_store's would look for a cryptography of its own.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .timeout(REQUEST_MAX)
            .tcp_nodelay(true)
            .tls_backend_preconfigured(tls())
            .build();
        let client = client.map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })?;
        Ok(HttpClient::new(client))
    }
}

/// Believes whom this machine believes; `SSL_CERT_FILE` names further ones. A machine that believes nobody still reaches http://.
fn tls() -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let verified = builder.with_safe_default_protocol_versions().and_then(|builder| builder.with_platform_verifier());
    match verified {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "this machine has no certificates to believe: https:// object stores are not reached");
            Tls::OFF.request_config()
        }
    }
}
