//! Objects in a bucket, by the interface that Amazon S3 and many other stores have.

use std::cell::RefCell;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

use super::Failure;
use super::aws::{self, Right, Seeker};
use super::deadline::Deadline;
use super::engine::{Body, Engine, Listed, MOST_PAGES, Patience, endless};
use super::http::{Client, Headers};
use super::lent::Lent;
use crate::error::Error;
use crate::model;

/// How long a request that we sign may be made; clocks differ.
const VALID: Duration = Duration::from_secs(15 * 60);
/// Where buckets are that do not say it.
const REGION: &str = "us-east-1";

/// How the answer begins to what is in a bucket, and the namespace of it.
const LIST: &str = "<ListBucketResult";
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A bucket.
pub struct S3 {
    client: Client,
    patience: Patience,
    name: String,
    prefix: String,
    settings: model::Bucket,
    /// Where the rights that are lent to us are kept.
    private: Option<PathBuf>,
    /// Found out at the first request, and again where the right ends.
    opened: RefCell<Option<Rc<Opened>>>,
}

struct Opened {
    bucket: Bucket,
    /// None: everybody may use it.
    right: Option<Right>,
}

impl Opened {
    fn credentials(&self) -> Option<&Credentials> {
        self.right.as_ref().map(|right| &right.credentials)
    }

    fn lent(&self) -> Option<&Lent> {
        self.right.as_ref()?.lent.as_ref()
    }
}

impl S3 {
    /// The bucket with objects below `place`, which is `BUCKET` or `BUCKET/PREFIX`. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// Where that names none.
    pub fn new(place: &str, remote: &model::Remote, patience: Patience, deadline: &Arc<Deadline>) -> Result<S3, Error> {
        let settings = remote.bucket.as_deref().cloned().unwrap_or_default();
        let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
        if name.is_empty() {
            return Err(Error::usage("`s3://` names no bucket").hint("url = \"s3://BUCKET/PREFIX\""));
        }
        // A password would be in every error.
        if settings.endpoint.as_deref().is_some_and(|endpoint| endpoint.contains(['@', '?', '#'])) {
            return Err(Error::usage("`AWS_ENDPOINT_URL` is more than a server").hint("https://SERVER:PORT"));
        }
        let prefix = prefix.trim_matches('/');
        Ok(S3 {
            client: Client::new(remote.certificates.as_deref(), &remote.proxies, patience, Arc::clone(deadline)),
            patience,
            name: name.to_owned(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            settings,
            private: remote.private.clone(),
            opened: RefCell::default(),
        })
    }

    /// Asks the bucket for something.
    fn ask<T>(&self, ask: impl FnOnce(&Opened) -> Result<T, Failure>) -> Result<T, Failure> {
        let opened = self.client.beside(|left| self.opened(left))?;
        ask(&opened).inspect_err(|failure| {
            if let (Failure::Denied(_), Some(lent)) = (failure, opened.lent()) {
                lent.forget();
                self.opened.take();
            }
        })
    }

    /// What is known of it, or found out in the time that is left.
    fn opened(&self, left: Duration) -> Result<Rc<Opened>, Failure> {
        let last = self.opened.borrow().clone();
        if let Some(last) = last.filter(|last| last.lent().is_none_or(Lent::holds)) {
            return Ok(last);
        }
        let profile = aws::Profile::of(&self.settings.profile);
        let region = self.settings.region.clone().or_else(|| profile.region()).unwrap_or_else(|| REGION.to_owned());
        let (endpoint, style) = match &self.settings.endpoint {
            Some(endpoint) => (endpoint.clone(), UrlStyle::Path),
            None => {
                // Certificates hold for one name before that of the server.
                let style = if self.name.contains('.') { UrlStyle::Path } else { UrlStyle::VirtualHost };
                (format!("https://s3.{region}.amazonaws.com"), style)
            }
        };
        let wrong = |why: &dyn std::fmt::Display| Failure::Denied(format!("its `endpoint` is no server: {why}"));
        let url = endpoint.parse().map_err(|why| wrong(&why))?;
        let client = || self.client.another(self.patience.stall);
        let seeker = Seeker {
            bucket: &self.settings,
            profile: &profile,
            region: &region,
            client: &client,
            programs: self.patience.programs,
            left,
            folder: self.private.as_deref(),
        };
        let right = seeker.right()?;
        let bucket = Bucket::new(url, style, self.name.clone(), region).map_err(|why| wrong(&format!("{why:?}")))?;
        let opened = Rc::new(Opened { bucket, right });
        self.opened.replace(Some(Rc::clone(&opened)));
        Ok(opened)
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Engine for S3 {
    fn get(&self, name: &str) -> Result<Option<Box<dyn Read>>, Failure> {
        self.ask(|opened| {
            let url = opened.bucket.get_object(opened.credentials(), &self.key(name)).sign(VALID);
            self.client.get(url.as_str(), &Headers::new())
        })
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(&Listed) -> ControlFlow<()>) -> Result<(), Failure> {
        let whole = self.key(prefix);
        let mut next: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let text = self.ask(|opened| {
                let mut list = opened.bucket.list_objects_v2(opened.credentials());
                list.with_prefix(whole.as_str());
                if let Some(token) = &next {
                    list.with_continuation_token(token.as_str());
                }
                self.client.text(list.sign(VALID).as_str(), &Headers::new())
            })?;
            let listed = ListObjectsV2::parse_response(&in_amazons_terms(&text))
                .map_err(|why| Failure::Wrong(format!("what it lists cannot be read: {why}")))?;
            for object in &listed.contents {
                let name = object.key.strip_prefix(&self.prefix).filter(|name| name.starts_with(prefix));
                let Some(name) = name else { continue };
                let put = object.last_modified.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
                let put = put.and_then(|put| i64::try_from(put.as_nanosecond()).ok());
                if each(&Listed { name, put }).is_break() {
                    return Ok(());
                }
            }
            match listed.next_continuation_token {
                None => return Ok(()),
                again if again == next => break,
                more => next = more,
            }
        }
        Err(endless())
    }

    fn put(&self, name: &str, body: Body) -> Result<(), Failure> {
        self.ask(|opened| {
            let url = opened.bucket.put_object(opened.credentials(), &self.key(name)).sign(VALID);
            self.client.put(url.as_str(), &Headers::new(), body)
        })
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        self.ask(|opened| {
            let url = opened.bucket.delete_object(opened.credentials(), &self.key(name)).sign(VALID);
            self.client.delete(url.as_str(), &Headers::new())
        })
    }
}

/// A list in the namespace of Amazon's: Google uses another one, and others use none.
fn in_amazons_terms(text: &str) -> String {
    let parts = text.split_once(LIST).and_then(|(before, rest)| Some((before, rest.split_once('>')?)));
    let Some((before, (attributes, rest))) = parts else { return text.to_owned() };
    let end = if attributes.ends_with('/') { "/>" } else { ">" };
    format!("{before}{LIST} xmlns=\"{NAMESPACE}\"{end}{rest}")
}
