//! What the environment says about stores beyond this machine, under the names that others read as well: AWS's own programs,
//! OpenSSL, curl, the shell of Redis.

use std::path::PathBuf;

use super::environment::{below_home, variable};
use super::kind::{BUCKET, REDIS};
use crate::model::{Bucket, Container, Credentials, Password, Profile, Proxies, WebIdentity};

/// Where containers of Amazon's ask for what is named without a server.
const CONTAINERS: &str = "http://169.254.170.2";

/// The file of whom to believe, where one is named: `SSL_CERT_FILE`, and before it for buckets `AWS_CA_BUNDLE`.
pub fn certificates(url: &str) -> Option<PathBuf> {
    let of_buckets = variable("AWS_CA_BUNDLE").filter(|_| url.starts_with(BUCKET));
    of_buckets.or_else(|| variable("SSL_CERT_FILE")).map(PathBuf::from)
}

/// What stands between us and web servers: `https_proxy` and `http_proxy`, for both `all_proxy`, and for none
/// of the servers that `no_proxy` names; in capitals as well, but HTTP_PROXY where whoever asks a web server for something can
/// set it (CGI makes it of a header of his).
pub fn proxies() -> Proxies {
    let capitals = |name: &str| match name {
        "http_proxy" if variable("REQUEST_METHOD").is_some() => None,
        _ => variable(&name.to_uppercase()),
    };
    let either = |name: &str| variable(name).or_else(|| capitals(name));
    let [secret, open] = ["https_proxy", "http_proxy"].map(|name| either(name).or_else(|| either("all_proxy")));
    let except = either("no_proxy").unwrap_or_default();
    let names = except.split(|c: char| c == ',' || c.is_whitespace()).filter(|name| !name.is_empty());
    Proxies { secret, open, except: names.map(str::to_owned).collect() }
}

/// What a Redis is told: `REDISCLI_AUTH`, as redis-cli(1) does.
pub fn password(url: &str) -> Option<Password> {
    let is_redis = REDIS.iter().any(|scheme| url.starts_with(scheme));
    variable("REDISCLI_AUTH").filter(|_| is_redis).map(Password)
}

/// A bucket with these settings; what they do not say the environment does. What lies in files is left to who needs it.
pub fn bucket(endpoint: Option<String>, region: Option<String>, profile: Option<String>) -> Bucket {
    // Who names a profile wants that one, whatever else there is.
    let is_named = profile.is_some();
    let first = |names: [&str; 2]| names.into_iter().find_map(variable);
    let file = |name: &str, usual: &str| variable(name).map(PathBuf::from).or_else(|| below_home(usual));
    Bucket {
        endpoint: endpoint.or_else(|| first(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])),
        region: region.or_else(|| first(["AWS_REGION", "AWS_DEFAULT_REGION"])),
        credentials: credentials().filter(|_| !is_named),
        web_identity: web_identity().filter(|_| !is_named),
        tokens: variable("AWS_ENDPOINT_URL_STS"),
        profile: Profile {
            name: profile.or_else(|| first(["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])).unwrap_or("default".to_owned()),
            files: [
                file("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
                file("AWS_CONFIG_FILE", "~/.aws/config"),
            ],
        },
        container: container().filter(|_| !is_named),
    }
}

fn credentials() -> Option<Credentials> {
    Some(Credentials {
        id: variable("AWS_ACCESS_KEY_ID")?,
        secret: variable("AWS_SECRET_ACCESS_KEY")?,
        token: variable("AWS_SESSION_TOKEN"),
    })
}

fn web_identity() -> Option<WebIdentity> {
    Some(WebIdentity {
        token: variable("AWS_WEB_IDENTITY_TOKEN_FILE")?.into(),
        role: variable("AWS_ROLE_ARN")?,
        session: variable("AWS_ROLE_SESSION_NAME").unwrap_or("fleche".to_owned()),
    })
}

fn container() -> Option<Container> {
    let relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("{CONTAINERS}{path}"));
    let token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(|path| Err(path.into()));
    Some(Container {
        url: relative.or_else(|| variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"))?,
        token: token.or_else(|| variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Ok)),
    })
}
