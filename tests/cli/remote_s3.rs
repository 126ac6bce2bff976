//! Stores in buckets.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::remote::{TEAM, Team, tool};
use crate::remote_http::certificate;
use crate::servers::{Buckets, KEYS, Mood, Nginx, Proxy, Tunnel};
use crate::world::Session;

/// Two machines and a bucket; none where there is no server of them.
pub fn team() -> Option<(Team, Buckets)> {
    let team = Team::with(TEAM);
    fs::create_dir(team.store().join("calls")).unwrap();
    let server = Buckets::start(&team.store())?;
    team.moved_to("s3://calls/some/where", &format!("endpoint = \"{}\"\n{TEAM}", server.url()));
    Some((team, server))
}

fn with_keys(session: Session) -> Session {
    KEYS.iter().fold(session, |session, (name, value)| session.env(name, value))
}

/// The objects of a kind in the bucket.
fn objects(team: &Team, kind: &str) -> usize {
    let all = walkdir::WalkDir::new(team.store().join("calls/some/where/v1").join(kind)).into_iter();
    all.flatten().filter(|entry| entry.file_type().is_file()).count()
}

#[test]
fn what_one_machine_made_another_one_replays_from_a_bucket() {
    let Some((team, server)) = team() else { return };
    let proxy = Proxy::start(server.port());
    team.moved_to("s3://calls/some/where", &format!("endpoint = \"{}\"\n{TEAM}", proxy.url()));
    let tool = tool(&team);
    team.write("in", "text\n");
    let declared = ["run", "-v", "-i", "in", "-o", "out", "--", &tool];
    let stored = with_keys(team.on("one", &declared)).run();
    assert!(stored.stderr().contains("stored"), "{}", stored.stderr());
    team.is_sent("one");
    assert_eq!(objects(&team, "a"), 1);
    // The server keeps no connection there: one is one request.
    let before = proxy.connections();
    let replayed = with_keys(team.on("other", &declared)).run();
    assert!(replayed.stderr().starts_with("fleche: hit "), "{}", replayed.stderr());
    assert_eq!((replayed.stdout().as_str(), team.world.read("other/out").as_str()), ("text\n", "text\n"));
    assert_eq!((team.world.executions("tool"), proxy.connections() - before), (1, 1));
    let watched = ["run", "-v", "--", "sh", "-c", "cat in; cp in new"];
    with_keys(team.on("one", &watched)).run();
    team.is_sent("one");
    assert_eq!((objects(&team, "a"), objects(&team, "p")), (2, 1));
    let replayed = with_keys(team.on("other", &watched)).run();
    assert!(replayed.stderr().starts_with("fleche: hit "), "{}", replayed.stderr());
    assert_eq!(team.world.read("other/new"), "text\n");
}

/// By way of a proxy, for nobody else's name can be given to a server on this machine.
#[test]
fn a_bucket_of_amazon_is_asked_by_its_own_name() {
    let team = Team::with(TEAM);
    fs::create_dir(team.store().join("calls")).unwrap();
    fs::create_dir(team.store().join("calls.of.all")).unwrap();
    let amazon = "s3.eu-central-1.amazonaws.com";
    let Some(server) = Buckets::with(&team.store(), &["--domain", amazon]) else { return };
    let Some([certificate, key]) = certificate(&team, &[amazon, &format!("*.{amazon}")]) else { return };
    let settings = format!(
        "ssl_certificate {certificate};\nssl_certificate_key {key};\nlocation / {{\nproxy_set_header Host $http_host;\n\
         proxy_pass {};\n}}",
        server.url()
    );
    let Some(front) = Nginx::with(&team.world.root().join("nginx"), &settings) else { return };
    let tunnel = Tunnel::start(front.port());
    let outside = |machine: &str, words: &[&str]| {
        let session = with_keys(team.on(machine, words)).env("HTTPS_PROXY", tunnel.url());
        session.env("SSL_CERT_FILE", &certificate)
    };
    // A certificate holds for one name before that of the server: a name of several is a part of the path.
    for (bucket, host) in [("calls", format!("calls.{amazon}")), ("calls.of.all", amazon.to_owned())] {
        let url = format!("s3://{bucket}/some/where");
        team.moved_to(&url, &format!("region = \"eu-central-1\"\n{TEAM}"));
        let told = outside("one", &["remote", "check"]).run();
        assert_eq!((told.code(), told.stderr()), (0, String::new()));
        team.write("in", format!("{bucket}\n"));
        let words = ["run", "-v", "-i", "in", "--", "cat", "in"];
        outside("one", &words).run();
        outside("one", &["push", "--wait"]).ends(0, "", "");
        let told = outside("other", &words).run();
        assert!(told.stderr().starts_with("fleche: hit "), "{}", told.stderr());
        let asked = tunnel.asked();
        assert!(asked.iter().all(|line| *line == format!("CONNECT {host}:443 HTTP/1.1")), "{asked:?}");
    }
}

#[test]
fn large_values_lie_in_a_bucket_by_themselves() {
    let Some((team, _server)) = team() else { return };
    let tool = team.world.counted("tool", "cat in in in in > out").display().to_string();
    team.write("in", vec![b'x'; 3 << 20]);
    let words = ["run", "-i", "in", "-o", "out", "--", &tool];
    with_keys(team.on("one", &words)).run();
    team.is_sent("one");
    assert_eq!((objects(&team, "a"), objects(&team, "b")), (1, 1));
    with_keys(team.on("other", &words)).prints("");
    assert_eq!(team.world.executions("tool"), 1);
    assert!(fs::read(team.world.path("other/out")).unwrap() == vec![b'x'; 12 << 20]);
}

#[test]
fn all_calls_in_a_bucket_are_taken_over() {
    let Some((team, _server)) = team() else { return };
    for number in 0..3 {
        team.write("in", format!("{number}\n"));
        with_keys(team.on("one", &["run", "-i", "in", "--", "cat", "in"])).prints(&format!("{number}\n"));
    }
    with_keys(team.on("one", &["push", "--wait"])).ends(0, "", "");
    with_keys(team.on("other", &["pull"])).ends(0, "", "");
    assert_eq!(team.on("other", &["query"]).run().stdout().lines().count(), 3);
}

#[test]
fn credentials_are_found_where_aws_keeps_them() {
    let Some((team, server)) = team() else { return };
    let check = |session: Session| {
        let outcome = session.run();
        (outcome.code(), outcome.stderr())
    };
    let on = || team.on("one", &["remote", "check"]);
    let [(_, id), (_, secret)] = KEYS;
    assert_eq!(check(with_keys(on())), (0, String::new()));
    let (code, told) = check(with_keys(on()).env("AWS_SECRET_ACCESS_KEY", "another one"));
    assert!(code == 2 && told.contains("403 Forbidden, SignatureDoesNotMatch"), "{told}");
    assert!(!told.contains("another one"), "{told}");
    // A bucket that is not there is no empty one; this server does not know the difference.
    let other = Proxy::start(server.port());
    let body = "<Error><Code>NoSuchBucket</Code></Error>";
    let length = body.len();
    other.is_now(Mood::Says(format!("HTTP/1.1 404 Not Found\r\nContent-Length: {length}\r\n\r\n{body}")));
    team.moved_to("s3://missing", &format!("endpoint = \"{}\"\n{TEAM}", other.url()));
    let (code, told) = check(with_keys(on()));
    assert!(code == 2 && told.contains("there is no such bucket"), "{told}");
    team.moved_to("s3://calls/some/where", &format!("endpoint = \"{}\"\n{TEAM}", server.url()));
    // In files.
    let aws = team.world.home().join(".aws");
    let keys = format!("aws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    team.world.write(
        aws.join("credentials"),
        format!("# mine\n[default]\n{keys}[other]\naws_secret_access_key = s\\x65c\"\n"),
    );
    assert_eq!(check(on()), (0, String::new()));
    let answer = format!("{{\"Version\": 1, \"AccessKeyId\": \"{id}\", \"SecretAccessKey\": \"{secret}\"}}");
    let program = team.world.script("tell", &format!("#!/bin/sh\necho '{answer}'\n"));
    let settings = format!(
        "[profile program]\ncredential_process = {}\ns3 =\n    max_concurrent_requests = 20\n[profile fails]\n\
         credential_process = false\n[profile sso]\nsso_start_url = https://login.example\n",
        program.display()
    );
    team.world.write(aws.join("config"), settings);
    assert_eq!(check(on().env("AWS_PROFILE", "program")), (0, String::new()));
    let (code, told) = check(on().env("AWS_PROFILE", "fails"));
    assert!(code == 2 && told.contains("`credential_process` tells no credentials: it failed"), "{told}");
    let (code, told) = check(on().env("AWS_PROFILE", "sso"));
    assert!(code == 2 && told.contains("aws configure export-credentials --profile sso"), "{told}");
    // What two files say of one profile is not put together, and nobody waits for who writes into a pipe.
    team.world.write(aws.join("credentials"), format!("[default]\naws_access_key_id = another\n[other]\n{keys}"));
    team.world.write(aws.join("more"), format!("[default]\n{keys}"));
    assert_eq!(check(on().env("AWS_CONFIG_FILE", aws.join("more"))), (0, String::new()));
    let pipe = aws.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(check(on().env("AWS_SHARED_CREDENTIALS_FILE", &pipe).env("AWS_CONFIG_FILE", aws.join("more"))).0, 0);
    // Who names a profile wants that one.
    team.moved_to("s3://calls", &format!("endpoint = \"{}\"\nprofile = \"fails\"\n{TEAM}", server.url()));
    assert_eq!(check(with_keys(on())).0, 2);
    team.moved_to("s3://calls", &format!("endpoint = \"{}\"\n{TEAM}", server.url()));
    // Of a container.
    fs::remove_dir_all(&aws).unwrap();
    let proxy = Proxy::start(server.port());
    let says = |body: &str| Mood::Says(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    proxy.is_now(says(&answer));
    let container = || on().env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/credentials", proxy.url()));
    assert_eq!(check(container()), (0, String::new()));
    let far = on().env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost.example/credentials");
    let (code, told) = check(far);
    assert!(code == 2 && told.contains("is where others could listen"), "{told}");
    team.moved_to("s3://calls", TEAM);
    let (code, told) = check(with_keys(on()).env("AWS_ENDPOINT_URL_S3", "https://me:canary@server"));
    assert!(code == 2 && told.contains("is more than a server") && !told.contains("canary"), "{told}");
    team.moved_to("s3://calls", &format!("endpoint = \"{}\"\n{TEAM}", server.url()));
    proxy.is_now(says("{}"));
    let (code, told) = check(container());
    assert!(code == 2 && told.contains("what should tell credentials tells none"), "{told}");
    // Where it does not tell them for now, nothing that is to be put there is lost.
    team.write("in", "text\n");
    with_keys(team.on("one", &["run", "-i", "in", "--", "cat", "in"])).prints("text\n");
    team.is_sent("one");
    for line in ["429 Too Many Requests", "404 Not Found"] {
        proxy.is_now(Mood::Says(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n")));
        let push = team.on("one", &["push", "--wait", "--name", "cat"]);
        let told = push.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/credentials", proxy.url())).run();
        assert!(told.code() == 2 && told.stderr().contains(line), "{}", told.stderr());
        let told = with_keys(team.on("one", &["-v", "push", "--wait"])).run();
        assert!(told.code() == 0 && told.stderr().contains(" is in `team`"), "{}", told.stderr());
    }
    // Of a job that can prove who it is.
    let given = format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{id}\
         </AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey></Credentials>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    );
    proxy.is_now(says(&given));
    let token = team.world.write("token", "the proof\n");
    let job = || {
        on().env("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
            .env("AWS_ROLE_ARN", "arn:aws:iam::1:role/ci")
            .env("AWS_ENDPOINT_URL_STS", proxy.url())
    };
    assert_eq!(check(job()), (0, String::new()));
    proxy.is_now(Mood::Says("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_owned()));
    let (code, told) = check(job());
    assert!(code == 2 && told.contains("no credentials for `arn:aws:iam::1:role/ci`"), "{told}");
}

#[test]
fn credentials_that_hold_for_a_while_are_asked_for_once() {
    let Some((team, server)) = team() else { return };
    let [(_, id), (_, secret)] = KEYS;
    let told = |end: &str, secret: &str| {
        format!("{{\"AccessKeyId\": \"{id}\", \"SecretAccessKey\": \"{secret}\", \"Expiration\": \"{end}\"}}")
    };
    let answer = team.world.write("answer", told("2200-01-01T00:00:00Z", secret));
    let program = team.world.counted("tell", &format!("cat {}", answer.display()));
    let settings = format!("[profile program]\ncredential_process = {}\n", program.display());
    team.world.write(team.world.home().join(".aws/config"), settings);
    let runtime = team.world.root().join("runtime");
    fs::create_dir(&runtime).unwrap();
    let on = |words: &[&str]| team.on("one", words).env("AWS_PROFILE", "program").env("XDG_RUNTIME_DIR", &runtime);
    let asked = || team.world.executions("tell");
    for _ in 0..2 {
        assert_eq!(on(&["remote", "check"]).run().code(), 0);
    }
    assert_eq!(asked(), 1);
    let kept = |folder: &Path| fs::read_dir(folder.join("fleche")).map_or(0, Iterator::count);
    assert_eq!(kept(&runtime), 1);
    // Where there is no such folder, the state of the user.
    let home = || team.on("one", &["remote", "check"]).env("AWS_PROFILE", "program").run().code();
    assert_eq!((home(), home(), asked()), (0, 0, 2));
    assert_eq!(kept(&team.world.home().join(".local/state")), 1);
    // What is refused is asked for again.
    team.world.write("answer", told("2200-01-01T00:00:00Z", "another one"));
    fs::remove_dir_all(runtime.join("fleche")).unwrap();
    assert_eq!((on(&["remote", "check"]).run().code(), asked()), (2, 3));
    team.world.write("answer", told("2200-01-01T00:00:00Z", secret));
    assert_eq!((on(&["remote", "check"]).run().code(), asked()), (0, 4));
    // What is of no use is not kept, whatever it says of itself.
    fs::remove_dir_all(runtime.join("fleche")).unwrap();
    team.world.write("answer", told("2200-01-01T00:00:00Z", ""));
    assert_eq!((on(&["remote", "check"]).run().code(), kept(&runtime), asked()), (2, 0, 5));
    // What is over at once is asked for before each request, also while many are made.
    team.world.write("answer", told("2000-01-01T00:00:00Z", secret));
    for text in ["1\n", "2\n"] {
        team.write("in", text);
        on(&["run", "-i", "in", "--", "cat", "in"]).prints(text);
    }
    team.is_sent("one");
    let before = asked();
    on(&["push", "--wait", "--name", "cat"]).ends(0, "", "");
    assert_eq!((asked(), kept(&runtime)), (before + 2, 0));
    drop(server);
}

#[test]
fn a_bucket_that_is_not_there_and_one_that_is_closed_cost_a_warning_at_most() {
    let Some((team, server)) = team() else { return };
    let tool = tool(&team);
    team.write("in", "text\n");
    let words = ["run", "-i", "in", "-o", "out", "--", &tool];
    let endpoint = format!("endpoint = \"{}\"\n", server.url());
    for (url, settings, told) in [
        ("s3://missing", endpoint.as_str(), None),
        ("s3://calls", "endpoint = \"http://127.0.0.1:1\"\n", None),
        ("s3://calls", endpoint.as_str(), Some("it answers 403 Forbidden, AccessDenied")),
    ] {
        let _ = fs::remove_dir_all(team.cache("one"));
        team.moved_to(url, settings);
        let session = team.on("one", &words);
        let session = if told.is_some() { session } else { with_keys(session) };
        let warning = told.map_or(String::new(), |why| format!("fleche: the cache `team` does not let us: {why}\n"));
        session.ends(0, "text\n", &format!("{warning}aside\n"));
    }
}

/// As buckets say it: with the status of a request that is malformed.
#[test]
fn a_right_that_has_ended_and_an_object_that_is_too_large_are_known_by_their_word() {
    let Some((team, server)) = team() else { return };
    let proxy = Proxy::start(server.port());
    team.moved_to("s3://calls", &format!("endpoint = \"{}\"\n{TEAM}", proxy.url()));
    let answer = |code: &str| {
        let body = format!("<Error><Code>{code}</Code></Error>");
        format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    team.write("in", "text\n");
    let words = ["run", "-i", "in", "--", "cat", "in"];
    with_keys(team.on("one", &words)).prints("text\n");
    team.is_sent("one");
    proxy.is_now(Mood::SaysToWriters(answer("EntityTooLarge")));
    let told = with_keys(team.on("one", &["push", "--wait", "--name", "cat"])).run().stderr();
    assert!(told.contains("stays here: it answers 400 Bad Request, EntityTooLarge"), "{told}");
    team.is_sent("one");
    for code in ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"] {
        let _ = fs::remove_dir_all(team.cache("other"));
        proxy.is_now(Mood::Says(answer(code)));
        let warning = format!("fleche: the cache `team` does not let us: it answers 400 Bad Request, {code}\n");
        with_keys(team.on("other", &words)).ends(0, "text\n", &warning);
    }
    // What somebody lent is asked for anew.
    let [(_, id), (_, secret)] = KEYS;
    let lent = format!(
        "echo '{{\"AccessKeyId\": \"{id}\", \"SecretAccessKey\": \"{secret}\", \"Expiration\": \"2200-01-01T00:00:00Z\"}}'"
    );
    let program = team.world.counted("tell", &lent);
    let settings = format!("[profile program]\ncredential_process = {}\n", program.display());
    team.world.write(team.world.home().join(".aws/config"), settings);
    let check = || team.on("one", &["remote", "check"]).env("AWS_PROFILE", "program").run().code();
    assert_eq!((check(), team.world.executions("tell")), (2, 1));
    proxy.is_now(Mood::Kind);
    assert_eq!((check(), check(), team.world.executions("tell")), (0, 0, 2));
}

#[test]
fn a_list_of_a_bucket_is_read_whoever_tells_it_and_names_of_others_are_not_touched() {
    let team = Team::with(TEAM);
    let proxy = Proxy::start(0);
    team.moved_to("s3://calls/some/where", &format!("endpoint = \"{}\"\n{TEAM}", proxy.url()));
    let lists = |root: &str, names: &[&str], more: &str| {
        let object = |name: &&str| {
            format!(
                "<Contents><Key>{name}</Key><Generation>1</Generation><MetaGeneration>1</MetaGeneration>\
                 <LastModified>2009-10-12T17:50:30.349Z</LastModified><ETag>\"x\"</ETag><Size>1</Size></Contents>"
            )
        };
        let objects: String = names.iter().map(object).collect();
        let body = format!(
            "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult{root}><Name>calls</Name><Prefix>v1</Prefix>\
             <KeyCount>1</KeyCount>{objects}{more}</ListBucketResult>"
        );
        let length = body.len();
        proxy.is_now(Mood::Says(format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )));
    };
    let amazons = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
    let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>";
    lists(amazons, &[], more);
    for words in [&["pull"][..], &["query", "--cache", "team"], &["remote", "gc", "--older-than", "1d"]] {
        let told = with_keys(team.on("one", words)).run();
        assert!(told.code() == 2 && told.stderr().contains("its list does not end"), "{}", told.stderr());
    }
    let own = format!("some/where/v1/a/main/ab/{}", "ab".repeat(32));
    let names = [
        &own,
        "some/where/v1/a/main/ab/notes",
        "some/where/v1/a/main/ab/.new-\u{9b}2J",
        "elsewhere",
        "some/where/v1/b",
    ];
    // As Google's buckets tell it, and as it is told without a namespace.
    for root in [amazons, " xmlns='http://doc.s3.amazonaws.com/2006-03-01'", ""] {
        lists(root, &names, "<IsTruncated>false</IsTruncated>");
        let told = with_keys(team.on("one", &["remote", "gc", "-n", "--older-than", "1d"])).run();
        assert_eq!((told.code(), told.stderr()), (0, String::new()), "{root}");
        assert_eq!(told.stdout(), format!("{}\n", own.strip_prefix("some/where/").unwrap()), "{root}");
        lists(root, &[], "");
        with_keys(team.on("one", &["pull"])).ends(0, "", "");
    }
}

#[test]
fn what_was_put_into_a_bucket_long_ago_can_be_taken_away() {
    let Some((team, _server)) = team() else { return };
    team.write("in", "text\n");
    for words in [&["run", "-i", "in", "--", "cat", "in"][..], &["run", "--", "sh", "-c", "cat in"]] {
        with_keys(team.on("one", words)).prints("text\n");
    }
    with_keys(team.on("one", &["push", "--wait"])).ends(0, "", "");
    with_keys(team.on("one", &["remote", "gc", "--older-than", "1h"])).ends(0, "", "");
    assert_eq!((objects(&team, "a"), objects(&team, "p")), (2, 1));
    let told = with_keys(team.on("one", &["remote", "gc", "--older-than", "0s", "--dry-run"])).run();
    assert_eq!((told.code(), told.stdout().lines().count()), (0, 3), "{}", told.stderr());
    assert_eq!(objects(&team, "a"), 2);
    with_keys(team.on("one", &["remote", "gc", "--older-than", "0s"])).ends(0, "", "");
    assert_eq!((objects(&team, "a"), objects(&team, "p")), (0, 0));
}

#[test]
fn the_policy_of_a_bucket_allows_what_is_needed_and_no_more() {
    let team = Team::with(TEAM);
    let policy = |url: &str, settings: &str| {
        team.moved_to(url, settings);
        let outcome = team.on("one", &["remote", "setup"]).run();
        assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()));
        serde_json::from_str::<serde_json::Value>(&outcome.stdout()).unwrap()
    };
    let written = policy("s3://calls/some/where/", TEAM);
    let [list, objects] = [0, 1].map(|number| written["Statement"][number].clone());
    assert_eq!((&list["Action"][0], &list["Resource"][0]), (&"s3:ListBucket".into(), &"arn:aws:s3:::calls".into()));
    assert_eq!(objects["Action"], serde_json::json!(["s3:GetObject", "s3:PutObject"]));
    assert_eq!(objects["Resource"][0], "arn:aws:s3:::calls/some/where/v1/*");
    let read = policy("s3://calls", "");
    assert_eq!(read["Statement"][1]["Action"], serde_json::json!(["s3:GetObject"]));
    assert_eq!(read["Statement"][1]["Resource"][0], "arn:aws:s3:::calls/v1/*");
}
