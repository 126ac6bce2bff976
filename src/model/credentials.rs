//! What it takes to be let into a store beyond this machine.

use std::fmt;
use std::path::PathBuf;

/// What is known of a bucket beside its name, and where the rights to use it may be found, in the order in which AWS's own
/// programs look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// The server, where it is not Amazon's.
    pub endpoint: Option<String>,
    /// Where the server is; what the profile says, and else `us-east-1`.
    pub region: Option<String>,
    /// From the environment.
    pub credentials: Option<Credentials>,
    /// Of a job that can prove who it is.
    pub web_identity: Option<WebIdentity>,
    /// The server that gives credentials for such a proof, where it is not Amazon's.
    pub tokens: Option<String>,
    /// What is kept in files.
    pub profile: Profile,
    /// Of a container.
    pub container: Option<Container>,
}

/// The right to use a bucket.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who it is.
    pub id: String,
    /// What proves it.
    pub secret: String,
    /// What says that it holds for a while.
    pub token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What stands between us and web servers: URLs, in which a password may be.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For those that are asked in secret.
    pub secret: Option<String>,
    /// For those that are asked in the open.
    pub open: Option<String>,
    /// The names of servers that are asked without one; all names below them, too. `*` is all.
    pub except: Vec<String>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").field("except", &self.except).finish_non_exhaustive()
    }
}

/// A proof of who a job is, for which there are credentials at Amazon's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentity {
    /// The file with the proof.
    pub token: PathBuf,
    /// Whose rights are asked for.
    pub role: String,
    /// What this use of them is called.
    pub session: String,
}

/// A name in AWS's files of configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The name.
    pub name: String,
    /// The file of credentials, and that of the rest; none where there is no home folder.
    pub files: [Option<PathBuf>; 2],
}

/// Where the credentials of a container are.
#[derive(Clone, PartialEq, Eq)]
pub struct Container {
    /// Whom to ask.
    pub url: String,
    /// What to say: itself, or in a file.
    pub token: Option<Result<String, PathBuf>>,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What proves who somebody is.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_printed() {
        let credentials =
            Credentials { id: "AKIA".into(), secret: "canary".into(), token: Some("canary of a token".into()) };
        let container = Container { url: "http://169.254.170.2/".into(), token: Some(Ok("canary".into())) };
        let proxies =
            Proxies { secret: Some("http://canary@host".into()), open: Some("canary".into()), except: Vec::new() };
        let told = format!("{credentials:?} {container:?} {:?} {proxies:?}", Password("canary".into()));
        assert!(told.contains("AKIA") && told.contains("169.254") && !told.contains("canary"), "{told}");
    }
}
