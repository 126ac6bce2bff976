//! Who may use a bucket: the places where AWS's own programs look, in their order.

use std::cell::OnceCell;
use std::path::Path;
use std::time::Duration;

use ini::{Ini, ParseOption};
use rusty_s3::Credentials;
use serde_json::Value;

use super::Failure;
use super::http::{Client, Headers, within};
use crate::model::{self, Container, WebIdentity};
use crate::sys::process;

/// How long a program may take to tell credentials.
const PROGRAMS_TIME: Duration = Duration::from_secs(10);
/// Nothing that proves who we are is longer, in bytes.
const LONGEST: u64 = 64 << 10;

/// What two files say under one name: read when it is needed.
pub struct Profile<'a> {
    settings: &'a model::Profile,
    files: OnceCell<Result<[Ini; 2], Failure>>,
}

impl Profile<'_> {
    /// That of these settings.
    pub fn of(settings: &model::Profile) -> Profile<'_> {
        Profile { settings, files: OnceCell::new() }
    }

    /// Where a file is missing, nothing is said in it.
    fn files(&self) -> &Result<[Ini; 2], Failure> {
        self.files.get_or_init(|| {
            let read = |path: &Path| {
                let Ok(text) = std::fs::read_to_string(path) else { return Ok(Ini::new()) };
                // As AWS's own programs read it: no character is special.
                let plain = ParseOption { enabled_quote: false, enabled_escape: false, ..ParseOption::default() };
                Ini::load_from_str_opt(&text, plain)
                    .map_err(|why| Failure::Denied(format!("`{}`: {why}", path.display())))
            };
            let [credentials, settings] = &self.settings.files;
            let read = |path: &Option<_>| path.as_deref().map_or(Ok(Ini::new()), read);
            Ok([read(credentials)?, read(settings)?])
        })
    }

    fn setting(&self, name: &str) -> Option<&str> {
        let profile = &self.settings.name;
        let [credentials, settings] = self.files().as_ref().ok()?;
        let long = format!("profile {profile}");
        let found = credentials.get_from(Some(profile.as_str()), name).or_else(|| settings.get_from(Some(long), name));
        let is_usual = profile == "default";
        found
            .or_else(|| settings.get_from(Some("default"), name).filter(|_| is_usual))
            .filter(|value| !value.is_empty())
    }

    /// Where the bucket is.
    pub fn region(&self) -> Option<String> {
        self.setting("region").map(str::to_owned)
    }
}

/// With whose rights a bucket is used; none where everybody may use it. Servers that have to be asked for them are asked by way
/// of `client`.
///
/// # Errors
///
/// Where there are credentials that cannot be had.
pub fn credentials(
    bucket: &model::Bucket,
    profile: &Profile<'_>,
    region: &str,
    client: &dyn Fn(&str) -> Client,
) -> Result<Option<Credentials>, Failure> {
    if let Some(found) = &bucket.credentials {
        return Ok(Some(made(&found.id, &found.secret, found.token.clone())));
    }
    if let Some(identity) = &bucket.web_identity {
        return exchanged(identity, &bucket.tokens, region, client).map(Some);
    }
    if let Err(why) = profile.files() {
        return Err(why.clone());
    }
    if let (Some(id), Some(secret)) = (profile.setting("aws_access_key_id"), profile.setting("aws_secret_access_key")) {
        let token = profile.setting("aws_session_token").map(str::to_owned);
        return Ok(Some(made(id, secret, token)));
    }
    if let Some(program) = profile.setting("credential_process") {
        let answer = process::ask(program, b"", PROGRAMS_TIME).map_err(|why| {
            Failure::Denied(format!("`credential_process` tells no credentials: {}", crate::error::cause(&why)))
        })?;
        return told(&answer, "SessionToken").map(Some);
    }
    if let (Some(token), Some(role)) = (profile.setting("web_identity_token_file"), profile.setting("role_arn")) {
        let session = profile.setting("role_session_name").unwrap_or("fleche").to_owned();
        let identity = WebIdentity { token: token.into(), role: role.to_owned(), session };
        return exchanged(&identity, &bucket.tokens, region, client).map(Some);
    }
    if ["role_arn", "sso_session", "sso_start_url"].iter().any(|name| profile.setting(name).is_some()) {
        let program =
            format!("credential_process = aws configure export-credentials --profile {}", profile.settings.name);
        return Err(Failure::Denied(format!(
            "the profile `{}` says how to get credentials, which the AWS CLI can do: {program}, under another name",
            profile.settings.name
        )));
    }
    bucket.container.as_ref().map(|container| of_container(container, client)).transpose()
}

fn made(id: &str, secret: &str, token: Option<String>) -> Credentials {
    match token {
        Some(token) => Credentials::new_with_token(id, secret, token),
        None => Credentials::new(id, secret),
    }
}

/// Credentials in JSON, as programs and containers tell them.
fn told(answer: &[u8], token: &str) -> Result<Credentials, Failure> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let text = |name: &str| answer[name].as_str().filter(|text| !text.is_empty());
    match (text("AccessKeyId"), text("SecretAccessKey")) {
        (Some(id), Some(secret)) => Ok(made(id, secret, text(token).map(str::to_owned))),
        _ => Err(Failure::Denied("what should tell credentials tells none".to_owned())),
    }
}

/// What a job gets for the proof of who it is.
fn exchanged(
    identity: &WebIdentity,
    server: &Option<String>,
    region: &str,
    client: &dyn Fn(&str) -> Client,
) -> Result<Credentials, Failure> {
    let proof = secret_in(&identity.token)?;
    let server = server.clone().unwrap_or_else(|| format!("https://sts.{region}.amazonaws.com"));
    let form = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", &identity.role),
        ("RoleSessionName", &identity.session),
        ("WebIdentityToken", &proof),
    ];
    let answer = client(&server).form(&format!("{}/", server.trim_end_matches('/')), &form);
    let answer = answer.map_err(|why| match why {
        Failure::Refused(why) => Failure::Denied(format!("no credentials for `{}`: {why}", identity.role)),
        why => why,
    })?;
    match (within(&answer, "AccessKeyId"), within(&answer, "SecretAccessKey")) {
        (Some(id), Some(secret)) => Ok(made(id, secret, within(&answer, "SessionToken").map(str::to_owned))),
        _ => Err(Failure::Denied(format!("no credentials for `{}`", identity.role))),
    }
}

fn of_container(container: &Container, client: &dyn Fn(&str) -> Client) -> Result<Credentials, Failure> {
    let token = match &container.token {
        None => None,
        Some(Ok(token)) => Some(token.clone()),
        Some(Err(path)) => Some(secret_in(path)?),
    };
    let headers: Headers = token.map(|token| ("authorization".to_owned(), token)).into_iter().collect();
    let answer = client(&container.url).text(&container.url, &headers)?;
    told(answer.as_bytes(), "Token")
}

fn secret_in(path: &Path) -> Result<String, Failure> {
    let read = || -> std::io::Result<String> {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::io::Read::take(std::fs::File::open(path)?, LONGEST), &mut text)?;
        Ok(text.trim().to_owned())
    };
    read().map_err(|why| Failure::Denied(format!("`{}`: {}", path.display(), crate::error::cause(&why))))
}
