//! What stores have to allow whoever uses them, and no more.

use serde_json::json;

use crate::model::{CacheAccess, Remote};

/// The settings that make a store usable as it is configured here: for a bucket the policy of its user, in JSON; for a web server
/// a part of nginx's configuration; for Redis one of its own; for a folder lines of the shell.
pub fn setup(remote: &Remote) -> String {
    let writes = remote.access == CacheAccess::ReadWrite;
    match remote.url.split_once("://") {
        Some(("s3", place)) => of_bucket(place, writes),
        Some(("http" | "https", place)) => of_nginx(place, writes),
        Some(("redis" | "rediss" | "valkey" | "valkeys", _)) => of_redis(writes),
        _ => of_folder(remote.url.strip_prefix("file://").unwrap_or(&remote.url)),
    }
}

fn of_bucket(place: &str, writes: bool) -> String {
    let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
    let prefix = match prefix.trim_matches('/') {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    };
    let actions = if writes { &["s3:GetObject", "s3:PutObject"][..] } else { &["s3:GetObject"] };
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [
            // Who may not list a bucket is told 403 of what is not there; under a condition he may not, for it has no prefix.
            {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [format!("arn:aws:s3:::{name}")]},
            {"Effect": "Allow", "Action": actions, "Resource": [format!("arn:aws:s3:::{name}/{prefix}v1/*")]},
        ],
    });
    format!("{policy:#}\n")
}

fn of_nginx(place: &str, writes: bool) -> String {
    let path = place.split_once('/').map_or("", |(_, path)| path.trim_matches('/'));
    let location = if path.is_empty() { "/v1/".to_owned() } else { format!("/{path}/v1/") };
    let mut text = format!("# In a server of nginx, with a folder that its user may write.\nlocation {location} {{\n");
    text.push_str("    root /srv/fleche;\n");
    if writes {
        text.push_str(
            "    dav_methods PUT;\n    create_full_put_path on;\n    client_max_body_size 0;\n    limit_except GET {\n        \
             auth_basic fleche;\n        auth_basic_user_file /etc/nginx/fleche.passwords;\n    }\n",
        );
    }
    text.push_str("}\n");
    text
}

fn of_redis(writes: bool) -> String {
    let rights = match writes {
        true => "~fleche:v1/* +get +set +unlink",
        false => "%R~fleche:v1/* +get",
    };
    format!(
        "# In redis.conf of a server of its own, Redis 7 or newer, with a password of your own. Nobody else may use it, and what was\n\
         # used least is forgotten when the memory is full.\n\
         user default off\n\
         user fleche on >PASSWORD resetchannels nocommands {rights} +scan +object|idletime +select\n\
         maxmemory 4gb\nmaxmemory-policy allkeys-lru\n"
    )
}

fn of_folder(folder: &str) -> String {
    let quoted = folder.replace('\'', "'\\''");
    format!("# For all members of a group; who may only read needs nothing more.\ninstall -d -m 2775 '{quoted}'\n")
}
