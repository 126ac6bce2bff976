//! Who may use a bucket: the places where AWS's own programs look, in their order.

use std::cell::OnceCell;
use std::io;
use std::path::Path;
use std::time::Duration;

use ini::{Ini, ParseOption, Properties};
use rustix::fs::OFlags;
use rusty_s3::Credentials;
use serde_json::Value;

use super::Failure;
use super::engine::Programs;
use super::http::{Client, Headers, within};
use super::lent::{self, Lent};
use super::proxy::is_near;
use crate::model::{self, Container, WebIdentity};
use crate::sys::plain;

/// How long a program may take to tell credentials.
const PROGRAMS_TIME: Duration = Duration::from_secs(10);
/// Nothing that proves who we are is longer, in bytes.
const LONGEST: u64 = 64 << 10;
/// Nor more is read of a file of settings.
const LONGEST_SETTINGS: u64 = 16 << 20;

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
                let Ok(text) = text_of(path, LONGEST_SETTINGS) else { return Ok(Ini::new()) };
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

    /// What is said of the profile, the file that counts more first.
    fn sections(&self) -> impl Iterator<Item = &Properties> {
        let profile = self.settings.name.clone();
        let [credentials, settings] = match self.files() {
            Ok([credentials, settings]) => [Some(credentials), Some(settings)],
            Err(_) => [None, None],
        };
        let of_settings = settings.and_then(|settings| {
            let plain = if profile == "default" { settings.section(Some("default")) } else { None };
            settings.section(Some(format!("profile {profile}"))).or(plain)
        });
        credentials.and_then(|credentials| credentials.section(Some(profile))).into_iter().chain(of_settings)
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.sections().find_map(|section| said(section, name))
    }

    /// Who it is, what proves it, and what says that it holds for a while: all three of the first section that tells the first
    /// two, for what two files say need not belong together.
    fn keys(&self) -> Option<(&str, &str, Option<&str>)> {
        let of = |section| {
            let [id, secret, token] =
                ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"].map(|name| said(section, name));
            Some((id?, secret?, token))
        };
        self.sections().find_map(of)
    }

    /// Where the bucket is.
    pub fn region(&self) -> Option<String> {
        self.setting("region").map(str::to_owned)
    }
}

/// The right to use a bucket, and, where it was lent, by whom and for how long.
pub struct Right {
    /// What requests are signed with.
    pub credentials: Credentials,
    /// What somebody told, who was asked for it.
    pub lent: Option<Lent>,
}

/// Who looks for it.
pub struct Seeker<'a> {
    /// What is known of the bucket.
    pub bucket: &'a model::Bucket,
    /// What is said in files.
    pub profile: &'a Profile<'a>,
    /// Where the bucket is.
    pub region: &'a str,
    /// By way of this servers are asked.
    pub client: &'a dyn Fn() -> Client,
    /// Whether programs may be asked.
    pub programs: Programs,
    /// How much time there is for it.
    pub left: Duration,
    /// Where what is lent is kept.
    pub folder: Option<&'a Path>,
}

impl Seeker<'_> {
    /// With whose rights the bucket is used; none where everybody may use it.
    ///
    /// # Errors
    ///
    /// Where there are credentials that cannot be had.
    pub fn right(&self) -> Result<Option<Right>, Failure> {
        let Seeker { bucket, profile, .. } = self;
        let owned = |credentials| Ok(Some(Right { credentials, lent: None }));
        if let Some(found) = &bucket.credentials {
            return owned(made(&found.id, &found.secret, found.token.clone()));
        }
        if let Some(identity) = &bucket.web_identity {
            return self.exchanged(identity).map(Some);
        }
        if let Err(why) = profile.files() {
            return Err(why.clone());
        }
        if let Some((id, secret, token)) = profile.keys() {
            return owned(made(id, secret, token.map(str::to_owned)));
        }
        if let Some(program) = profile.setting("credential_process") {
            return self.of_program(program).map(Some);
        }
        if let (Some(token), Some(role)) = (profile.setting("web_identity_token_file"), profile.setting("role_arn")) {
            let session = profile.setting("role_session_name").unwrap_or("fleche").to_owned();
            let identity = WebIdentity { token: token.into(), role: role.to_owned(), session };
            return self.exchanged(&identity).map(Some);
        }
        if ["role_arn", "sso_session", "sso_start_url"].iter().any(|name| profile.setting(name).is_some()) {
            let program =
                format!("credential_process = aws configure export-credentials --profile {}", profile.settings.name);
            return Err(Failure::Denied(format!(
                "the profile `{}` says how to get credentials, which the AWS CLI can do: {program}, under another name",
                profile.settings.name
            )));
        }
        bucket.container.as_ref().map(|container| self.of_container(container)).transpose()
    }

    /// What was lent under these words, or what `ask` is told, as programs and containers tell it.
    fn lent(
        &self,
        words: &[&str],
        token: &str,
        ask: impl FnOnce() -> Result<Value, Failure>,
    ) -> Result<Right, Failure> {
        let lent = Lent::from(self.folder, words, "Expiration", ask)?;
        let text = |name: &str| lent.told[name].as_str().filter(|text| !text.is_empty());
        let credentials = match (text("AccessKeyId"), text("SecretAccessKey")) {
            (Some(id), Some(secret)) => made(id, secret, text(token).map(str::to_owned)),
            _ => {
                lent.forget();
                return Err(Failure::Denied("what should tell credentials tells none".to_owned()));
            }
        };
        Ok(Right { credentials, lent: Some(lent) })
    }

    fn of_program(&self, program: &str) -> Result<Right, Failure> {
        let settings = &self.profile.settings;
        // The same words may mean another identity where other files are read.
        let files =
            settings.files.each_ref().map(|file| file.as_deref().map_or("", |path| path.to_str().unwrap_or("")));
        self.lent(&["credential_process", program, &settings.name, files[0], files[1]], "SessionToken", || {
            let answer = lent::asked(program, self.programs, b"", PROGRAMS_TIME.min(self.left))?.map_err(|why| {
                Failure::Denied(format!("`credential_process` tells no credentials: {}", crate::error::cause(&why)))
            })?;
            Ok(serde_json::from_slice(&answer).unwrap_or_default())
        })
    }

    /// What a job gets for the proof of who it is.
    fn exchanged(&self, identity: &WebIdentity) -> Result<Right, Failure> {
        let proof = secret_in(&identity.token)?;
        let server = self.bucket.tokens.clone();
        let server = server.unwrap_or_else(|| format!("https://sts.{}.amazonaws.com", self.region));
        let WebIdentity { role, session, .. } = identity;
        // Another proof may be that of another job.
        self.lent(&["web identity", &server, role, session, &proof], "SessionToken", || {
            let form = [
                ("Action", "AssumeRoleWithWebIdentity"),
                ("Version", "2011-06-15"),
                ("RoleArn", role),
                ("RoleSessionName", session),
                ("WebIdentityToken", &proof),
            ];
            let answer = (self.client)().form(&format!("{}/", server.trim_end_matches('/')), &form);
            let answer = answer.map_err(|why| match why {
                Failure::Refused(why) => Failure::Denied(format!("no credentials for `{role}`: {why}")),
                why => why,
            })?;
            let told: serde_json::Map<String, Value> = ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"]
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), within(&answer, name)?.into())))
                .collect();
            match told.contains_key("AccessKeyId") && told.contains_key("SecretAccessKey") {
                true => Ok(told.into()),
                false => Err(Failure::Denied(format!("no credentials for `{role}`"))),
            }
        })
    }

    fn of_container(&self, container: &Container) -> Result<Right, Failure> {
        if !container.url.starts_with("https://") && !is_near(&container.url) {
            return Err(Failure::Denied(
                "what tells a container its credentials is where others could listen".to_owned(),
            ));
        }
        let token = match &container.token {
            None => None,
            Some(Ok(token)) => Some(token.clone()),
            Some(Err(path)) => Some(secret_in(path)?),
        };
        self.lent(&["container", &container.url, token.as_deref().unwrap_or("")], "Token", || {
            let headers: Headers = token.iter().map(|token| ("authorization".to_owned(), token.clone())).collect();
            let answer = (self.client)().text(&container.url, &headers).map_err(|why| match why {
                Failure::Refused(why) => Failure::Denied(format!("no credentials for the container: {why}")),
                why => why,
            })?;
            Ok(serde_json::from_str(&answer).unwrap_or_default())
        })
    }
}

fn said<'a>(section: &'a Properties, name: &str) -> Option<&'a str> {
    section.get(name).filter(|value| !value.is_empty())
}

fn made(id: &str, secret: &str, token: Option<String>) -> Credentials {
    match token {
        Some(token) => Credentials::new_with_token(id, secret, token),
        None => Credentials::new(id, secret),
    }
}

fn secret_in(path: &Path) -> Result<String, Failure> {
    let text = text_of(path, LONGEST);
    let text = text.map_err(|why| Failure::Denied(format!("`{}`: {}", path.display(), crate::error::cause(&why))))?;
    Ok(text.trim().to_owned())
}

/// What a file says.
fn text_of(path: &Path, longest: u64) -> io::Result<String> {
    let file = plain::open(path, OFlags::empty())?.ok_or_else(|| io::Error::other("it is no file"))?;
    let bytes =
        plain::up_to(longest, file)?.ok_or_else(|| io::Error::other(format!("it is longer than {longest} bytes")))?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text"))
}
