//! Stores in a Redis: a real one, and what can go wrong on the way to it.

use std::fs;
use std::net::TcpListener;

use crate::remote::{COMMANDS, TEAM, Team, tool};
use crate::remote_http::{certificate, noise};
use crate::servers::{Again, Memory, Nginx, Nobody, Passage, Relay};
use crate::world::Session;

/// Two machines and the server between them; none where there is no such server.
pub fn team(settings: &[&str]) -> Option<(Team, Memory)> {
    let team = Team::with(TEAM);
    let server = Memory::start(&team.world.root().join("redis"), settings)?;
    team.moved_to(&server.url(), TEAM);
    Some((team, server))
}

/// The names of the objects of a kind.
fn objects(server: &Memory, kind: &str) -> Vec<String> {
    let script = format!("return table.concat(redis.call('KEYS', 'fleche:v1/{kind}/*'), ' ')");
    let listed = String::from_utf8(server.says(&[b"EVAL", script.as_bytes(), b"0"])).unwrap();
    let mut names: Vec<String> = listed.split_whitespace().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn what_one_machine_made_another_one_replays_from_a_redis() {
    let Some((team, server)) = team(&[]) else { return };
    let tool = tool(&team);
    team.write("in", "text\n");
    let words = ["run", "-v", "-i", "in", "-o", "out", "--", &tool];
    let stored = team.on("one", &words).run();
    assert!(stored.stderr().contains("stored"), "{}", stored.stderr());
    team.is_sent("one");
    // A miss costs one request, and so does what is put there.
    assert_eq!((server.has_done("get"), server.has_done("set")), (1, 1));
    let replayed = team.on("other", &words).run();
    assert_eq!((replayed.code(), replayed.stdout().as_str()), (0, "text\n"));
    assert!(replayed.stderr().starts_with("fleche: hit "), "{}", replayed.stderr());
    assert_eq!((team.world.executions("tool"), team.world.read("other/out")), (1, "text\n".to_owned()));
    assert_eq!((server.has_done("get"), server.has_done("set")), (2, 1));
    // It is here now: nobody is asked.
    team.on("other", &words).run();
    assert_eq!(server.has_done("get"), 2);
}

#[test]
fn a_value_that_a_redis_never_takes_keeps_nothing_else_from_being_put_there() {
    let Some((team, server)) = team(&["--proto-max-bulk-len", "1mb"]) else { return };
    for content in [noise(3 << 20), b"small\n".to_vec()] {
        team.write("in", content);
        assert_eq!(team.on("one", &["run", "-i", "in", "--", "cat", "in"]).run().code(), 0);
    }
    let told = team.on("one", &["push", "--wait"]).run();
    let why = "stays here: it answers ERR Protocol error: invalid bulk length";
    assert!(told.code() == 2 && told.stderr().contains(why), "{}", told.stderr());
    assert_eq!(objects(&server, "a").len(), 1);
}

#[test]
fn what_a_watched_command_found_is_looked_for_in_a_redis() {
    let Some((team, server)) = team(&[]) else { return };
    let relay = Relay::start(server.port());
    team.moved_to(&format!("valkey://{}/7", relay.address()), TEAM);
    team.write("in", "first\n");
    let words = ["-v", "run", "--", "sh", "-c", "cat in; cp in out"];
    let watched = |machine: &str| {
        let outcome = team.on(machine, &words).run();
        (outcome.stdout(), outcome.stderr().contains("fleche: hit "))
    };
    assert_eq!(watched("one"), ("first\n".to_owned(), false));
    team.is_sent("one");
    let (before, asked) = (relay.connections(), server.has_done("get"));
    assert_eq!(watched("other"), ("first\n".to_owned(), true));
    assert_eq!((relay.connections() - before, server.has_done("get") - asked), (1, 2));
    team.write("in", "second\n");
    assert_eq!(watched("other"), ("second\n".to_owned(), false));
    // In the database that the URL names.
    assert!(objects(&server, "a").is_empty());
}

#[test]
fn large_values_and_whole_stores_come_from_a_redis_too() {
    let Some((team, server)) = team(&[]) else { return };
    let tool = team.world.counted("tool", "cat in in in in > out").display().to_string();
    team.write("in", vec![b'x'; 3 << 20]);
    let words = ["run", "-i", "in", "-o", "out", "--", &tool];
    team.on("one", &words).run();
    // Random bytes stay almost as long as they are: more than goes at once. None of them is a letter of a checkout's name.
    let seed = (0..3_u32 << 20).map(|number| number.wrapping_mul(2_654_435_761).rotate_left(7).to_le_bytes());
    let random: Vec<u8> = seed.flatten().map(|byte| byte | 0x80).collect();
    team.write("random", &random);
    let copy = ["run", "-i", "random", "-o", "copy", "--", "cp", "random", "copy"];
    team.on("one", &copy).run();
    team.is_sent("one");
    assert_eq!((objects(&server, "a").len(), objects(&server, "b").len()), (2, 2));
    team.on("other", &["pull"]).ends(0, "", "");
    assert_eq!(team.on("other", &["query"]).run().stdout().lines().count(), 2);
    let before = server.has_done("get");
    team.on("other", &words).prints("");
    team.on("other", &copy).prints("");
    assert_eq!((team.world.executions("tool"), server.has_done("get")), (1, before));
    assert!(fs::read(team.world.path("other/out")).unwrap() == vec![b'x'; 12 << 20]);
    assert!(fs::read(team.world.path("other/copy")).unwrap() == random);
}

#[test]
fn what_was_not_used_for_long_can_be_taken_out_of_a_redis() {
    let Some((team, server)) = team(&[]) else { return };
    for text in ["1\n", "2\n"] {
        team.write("in", text);
        team.on("one", &["run", "-i", "in", "--", "cat", "in"]).prints(text);
    }
    team.on("one", &["push", "--wait"]).ends(0, "", "");
    let gc = ["remote", "gc", "--older-than", "1h"];
    team.on("one", &gc).ends(0, "", "");
    let names = objects(&server, "a");
    assert_eq!(names.len(), 2);
    let old = server.says(&[b"DUMP", names[1].as_bytes()]);
    let restored = server.says(&[b"RESTORE", names[1].as_bytes(), b"0", &old, b"REPLACE", b"IDLETIME", b"7200"]);
    assert_eq!(restored, b"+OK");
    team.on("one", &[&gc[..], &["--dry-run"]].concat()).prints(&format!("{}\n", names[1].replace("fleche:", "")));
    team.on("one", &gc).ends(0, "", "");
    assert_eq!(objects(&server, "a"), names[..1]);
    // One that counts otherwise tells no times: nothing is taken away, and that is said.
    server.says(&[b"CONFIG", b"SET", b"maxmemory-policy", b"allkeys-lfu"]);
    let told = "fleche: cannot clear the cache `team`: it does not tell of 1 object how old it is\n\
                hint: fleche remote setup\n";
    team.on("one", &["remote", "gc", "--older-than", "0s"]).ends(2, "", told);
    assert_eq!(objects(&server, "a").len(), 1);
}

#[test]
fn the_settings_that_are_printed_for_redis_are_enough_and_no_more() {
    let team = Team::with(TEAM);
    team.moved_to("rediss://cache.example", TEAM);
    let place = team.world.root().join("redis");
    let setup = || {
        let printed = team.on("one", &["remote", "setup"]).run();
        assert_eq!((printed.code(), printed.stderr()), (0, String::new()));
        printed.stdout().replace("PASSWORD", "canary")
    };
    let begin = |printed: &str| {
        let settings = team.world.write("redis.conf", printed);
        // After the file, which has to come first.
        fs::create_dir_all(&place).unwrap();
        Memory::start(&place, &["--include", settings.to_str().unwrap()])
    };
    let Some(server) = begin(&setup()) else { return };
    let check = |session: Session| {
        let outcome = session.run();
        (outcome.code(), outcome.stderr())
    };
    let on = |words: &[&str]| team.on("one", words);
    team.moved_to(&server.url(), TEAM);
    for password in [None, Some("another one")] {
        let session = on(&["remote", "check"]);
        let (code, told) = check(password.iter().fold(session, |session, word| session.env("REDISCLI_AUTH", word)));
        let why = if password.is_some() { "WRONGPASS" } else { "NOAUTH" };
        assert!(code == 2 && told.contains(&format!("cannot ask the cache `team`: it answers {why}")), "{told}");
        assert!(!told.contains("another one"), "{told}");
    }
    // `fleche:canary`, as a web server would be told.
    let helper = team.world.script(
        "login",
        "#!/bin/sh\n[ \"$1\" = get ] || exit 1\necho '{\"headers\": {\"Authorization\": [\"Basic ZmxlY2hlOmNhbmFyeQ==\"]}}'\n",
    );
    let settings = format!("credential-helper = \"{}\"\n{TEAM}", helper.display());
    team.moved_to(&format!("{}/3", server.url()), &settings);
    assert_eq!(check(on(&["remote", "check"])), (0, String::new()));
    team.write("in", "text\n");
    on(&["run", "-i", "in", "--", "cat", "in"]).prints("text\n");
    on(&["push", "--wait"]).ends(0, "", "");
    for words in [&["pull"][..], &["remote", "gc", "--older-than", "1d"]] {
        on(words).ends(0, "", "");
    }
    // And who has no right to write reads.
    drop(server);
    team.moved_to("redis://cache.example", "");
    let server = begin(&setup()).unwrap();
    team.moved_to(&server.url(), settings.strip_suffix(TEAM).unwrap());
    assert_eq!(check(on(&["remote", "check"])), (0, String::new()));
    team.moved_to(&server.url(), &settings);
    let (code, told) = check(on(&["remote", "check"]));
    assert!(code == 2 && told.contains("cannot write the cache `team`: it answers NOPERM"), "{told}");
    let answer = "{\"expires\": \"2200-01-01T00:00:00Z\", \"headers\": {\"Authorization\": [\"Bearer canary\"]}}";
    let fails = team.world.counted("fails", &format!("echo '{answer}'"));
    team.moved_to(&server.url(), &format!("credential-helper = \"{}\"\n", fails.display()));
    let (code, told) = check(on(&["remote", "check"]));
    assert!(code == 2 && told.contains("it prints no header `Authorization: Basic …`"), "{told}");
    // And is not kept.
    assert_eq!((check(on(&["remote", "check"])).0, team.world.executions("fails")), (2, 2));
}

#[test]
fn a_password_is_taken_from_where_the_shell_of_redis_takes_it() {
    let Some((team, server)) = team(&["--requirepass", "canary"]) else { return };
    let check = |password: &str| {
        let outcome = team.on("one", &["remote", "check"]).env("REDISCLI_AUTH", password).run();
        (outcome.code(), outcome.stderr())
    };
    assert_eq!(check("canary"), (0, String::new()));
    team.moved_to(&format!("{}/2", server.url()), TEAM);
    assert_eq!(check("canary"), (0, String::new()));
    // Said once, and never the password.
    team.write("in", "text\n");
    let run = |text: &str| {
        let outcome = team.on("one", &["run", "-i", "in", "--", "cat", "in"]).env("REDISCLI_AUTH", "another one").run();
        assert_eq!((outcome.code(), outcome.stdout()), (0, text.to_owned()));
        outcome.stderr()
    };
    let told = run("text\n");
    assert!(told.starts_with("fleche: the cache `team` does not let us: it answers WRONGPASS "), "{told}");
    team.write("in", "more\n");
    assert_eq!(run("more\n"), "");
    // What the server repeats of it is not told.
    let relay = Relay::start(server.port());
    team.moved_to(&format!("redis://{}", relay.address()), TEAM);
    let repeats = b"-ERR unknown command 'AUTH', with args beginning with: 'canary'\r\n".to_vec();
    relay.is_now(Passage::Other(repeats, Again::Once));
    let (code, told) = check("canary");
    assert!(code == 2 && told.contains("it answers ERR to the login") && !told.contains("canary"), "{told}");
}

#[test]
fn nothing_is_put_into_another_database_than_the_one_that_is_meant() {
    let Some((team, server)) = team(&[]) else { return };
    team.moved_to(&format!("{}/99", server.url()), TEAM);
    team.write("in", "text\n");
    team.on("one", &["run", "-i", "in", "--", "cat", "in"]).prints("text\n");
    let pushed = team.on("one", &["push", "--wait"]).run();
    assert_eq!(pushed.code(), 2);
    assert!(pushed.stderr().contains("it answers ERR DB index is out of range"), "{}", pushed.stderr());
    assert!(objects(&server, "a").is_empty());
    team.moved_to(&server.url(), TEAM);
    team.on("one", &["push", "--wait", "--name", "cat"]).ends(0, "", "");
    assert_eq!(objects(&server, "a").len(), 1);
}

#[test]
fn a_redis_is_believed_if_its_certificate_is() {
    let team = Team::with(TEAM);
    let Some([certificate, key]) = certificate(&team, &["localhost"]) else { return };
    let settings = [
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &certificate,
        "--tls-auth-clients",
        "no",
    ];
    let Some(server) = Memory::start(&team.world.root().join("redis"), &settings) else { return };
    let check = |url: &str, certificates: &str| {
        team.moved_to(url, TEAM);
        let outcome = team.on("one", &["remote", "check"]).env("SSL_CERT_FILE", certificates).run();
        (outcome.code(), outcome.stderr())
    };
    let url = format!("rediss://localhost:{}/0", server.port());
    assert_eq!(check(&url, &certificate), (0, String::new()));
    for nobody in [&key, "/dev/null"] {
        let (code, told) = check(&url, nobody);
        assert!(code == 2 && told.contains("certificate"), "{told}");
    }
    let (code, told) = check(&url.replace("localhost", "127.0.0.1"), &certificate);
    assert!(code == 2 && told.contains("certificate"), "{told}");
    // Nobody listens in the open, and who answers in the open is not believed.
    assert_eq!(check(&url.replace("rediss", "redis"), &certificate).0, 2);
    let open = Memory::start(&team.world.root().join("open"), &[]).unwrap();
    team.moved_to(&format!("rediss://localhost:{}", open.port()), "");
    let told = team.on("one", &["run", "-v", "--", "true"]).env("SSL_CERT_FILE", &certificate).run().stderr();
    assert!(told.contains("no secret connection: it does not answer in time"), "{told}");
    // Two requests on one connection.
    team.moved_to(&url, TEAM);
    team.write("in", "text\n");
    let words = ["run", "-v", "--", "sh", "-c", "cat in; cp in out"];
    team.on("one", &words).env("SSL_CERT_FILE", &certificate).run();
    team.is_sent("one");
    let told = team.on("other", &words).env("SSL_CERT_FILE", &certificate).run().stderr();
    assert!(told.starts_with("fleche: hit "), "{told}");
}

#[test]
fn whatever_is_on_the_way_to_a_redis_the_command_does_what_it_does_bare() {
    let Some((team, server)) = team(&[]) else { return };
    let tool = tool(&team);
    team.write("in", "text\n");
    let declared = ["run", "-i", "in", "-o", "out", "--", &tool];
    let watched = ["run", "--", "sh", "-c", "cat in; cp in out"];
    let put = |words: &[&str]| {
        let before = objects(&server, "a");
        team.on("one", words).run();
        team.is_sent("one");
        let new = objects(&server, "a").into_iter().find(|name| !before.contains(name)).unwrap();
        let object = server.says(&[b"GET", new.as_bytes()]);
        let answer = [format!("${}\r\n", object.len()).as_bytes(), &object, b"\r\n"].concat();
        Passage::Other(answer, Again::Once)
    };
    let [own, other] = [&declared[..], &watched].map(put);
    let relay = Relay::start(server.port());
    let reads = "access = \"read-only\"\n";
    team.moved_to(&format!("redis://{}", relay.address()), reads);
    let run = |words: &[&str]| {
        let _ = fs::remove_dir_all(team.cache("other"));
        let _ = fs::remove_file(team.world.path("other/out"));
        let outcome = team.on("other", words).run();
        assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, "text\n"));
        assert_eq!(team.world.read("other/out"), "text\n");
        outcome.stderr().replace("aside\n", "")
    };
    for words in [&declared[..], &watched] {
        assert_eq!(run(words), "");
    }
    assert_eq!(team.world.executions("tool"), 1, "all is well before");
    let once = |text: &str| Passage::Other(text.as_bytes().to_vec(), Again::Once);
    let ever = |text: &str| Passage::Other(text.as_bytes().to_vec(), Again::ForEver);
    for passage in [
        Passage::Shut,
        Passage::Slow,
        Passage::First(0),
        Passage::First(3),
        Passage::First(400),
        once(""),
        once("$-1\r\n"),
        once("$-2\r\n"),
        once("$0\r\n\r\n"),
        once("$10\r\nshort\r\n"),
        once("$99999999999999\r\n"),
        once("$400000000\r\nno more"),
        once("$18446744073709551616\r\n"),
        other,
        once("+OK\r\n"),
        once(":17\r\n"),
        once("*1000000000\r\n"),
        once("HTTP/1.1 400 Bad Request\r\n\r\n<html>"),
        once("-LOADING Redis is loading the dataset in memory\r\n"),
        once("-MOVED 3999 127.0.0.1:6381\r\n"),
        once("-MISCONF \u{1b}[2Jsorry\r\n"),
        once("-ERR max number of clients reached\r\n"),
        once("$5\n"),
        ever("x"),
        ever("-ERR "),
        ever("$-1\r\n"),
        ever("$1\r\nx\r\n"),
    ] {
        relay.is_now(passage.clone());
        let before = team.world.executions("tool");
        for words in [&declared[..], &watched] {
            assert_eq!(run(words), "", "{passage:?}");
        }
        assert_eq!(team.world.executions("tool"), before + 1, "it was not believed: {passage:?}");
    }
    let before = team.world.executions("tool");
    relay.is_now(own);
    assert_eq!(run(&declared), "");
    assert_eq!(team.world.executions("tool"), before, "what it asked for is believed");
    // A connection that is cut is not an object that is too short: that would say that the store works.
    relay.is_now(Passage::First(400));
    let told = run(&[&["-v"], &declared[..]].concat());
    assert!(told.contains("it hangs up"), "{told}");
    let nobody = Nobody::at(0);
    team.moved_to(&format!("redis://127.0.0.1:{}", nobody.port()), reads);
    assert_eq!(run(&declared), "");
    team.moved_to("redis://nobody.invalid", reads);
    assert_eq!(run(&declared), "");
    // One object in the place of another.
    team.moved_to(&server.url(), reads);
    let names = objects(&server, "a");
    for (name, other) in [(&names[0], &names[1]), (&names[1], &names[0])] {
        let bytes = server.says(&[b"GET", other.as_bytes()]);
        let own = server.says(&[b"GET", name.as_bytes()]);
        assert_eq!(server.says(&[b"SET", name.as_bytes(), &bytes]), b"+OK");
        assert_eq!((run(&declared), run(&watched)), (String::new(), String::new()));
        server.says(&[b"SET", name.as_bytes(), &own]);
    }
}

#[test]
fn a_server_with_an_address_of_the_newer_kind_is_found() {
    // By its address, and by a name that has one of each kind, where nobody is at the other.
    let found = (0..20).find_map(|_| {
        let listener = TcpListener::bind("[::1]:0").ok()?;
        let nobody = Nobody::if_free(listener.local_addr().unwrap().port())?;
        Some((listener, nobody))
    });
    let Some((listener, _nobody)) = found else { return println!("skipped: no IPv6 on this machine") };
    let Some((team, server)) = team(&[]) else { return };
    let relay = Relay::by(listener, server.port());
    for host in ["[::1]", "store.localhost"] {
        let url = format!("redis://{host}:{}", relay.address().port());
        team.moved_to(&url, TEAM);
        let before = relay.connections();
        team.on("one", &["remote", "check"]).prints(&format!("team\t{url}\tmain can be read and written\n"));
        assert!(relay.connections() > before);
    }
    let Some(web) = Nginx::start(&team.store(), &team.world.root().join("nginx"), "") else { return };
    let relay = Relay::by(TcpListener::bind("[::1]:0").unwrap(), web.port());
    let url = format!("http://{}", relay.address());
    team.moved_to(&url, TEAM);
    team.on("one", &["remote", "check"]).prints(&format!("team\t{url}\tmain can be read and written\n"));
}

#[test]
fn a_redis_that_is_full_keeps_nobody_from_anything() {
    let Some((team, mut server)) = team(&["--maxmemory-policy", "noeviction"]) else { return };
    team.write("in", "text\n");
    let words = ["run", "-i", "in", "--", "cat", "in"];
    server.says(&[b"CONFIG", b"SET", b"maxmemory", b"1000"]);
    team.on("one", &words).prints("text\n");
    let pushed = team.on("one", &["push", "--wait"]).run();
    assert!(
        pushed.code() == 2 && pushed.stderr().contains("it answers OOM command not allowed"),
        "{}",
        pushed.stderr()
    );
    server.says(&[b"CONFIG", b"SET", b"maxmemory", b"0"]);
    team.on("one", &["push", "--wait"]).ends(0, "", "");
    assert_eq!(objects(&server, "a").len(), 1);
    // It ends, and comes again without what it kept: what waits is not lost.
    server.ends();
    let nobody = Nobody::at(server.port());
    team.write("in", "more\n");
    team.on("one", &words).prints("more\n");
    let pushed = team.on("one", &["push", "--wait"]).run();
    assert!(pushed.code() == 2 && pushed.stderr().contains("connection refused"), "{}", pushed.stderr());
    drop(nobody);
    server.comes_again();
    team.on("one", &["push", "--wait"]).ends(0, "", "");
    assert_eq!(objects(&server, "a").len(), 1);
}

#[test]
fn what_names_no_redis_is_said() {
    let team = Team::with(TEAM);
    for (url, why) in [
        ("redis:///1", "names no server"),
        ("redis://host/one", "names no database: that is a number"),
        ("redis://[host/1", "is no URL"),
    ] {
        team.moved_to(url, TEAM);
        let outcome = team.on("one", &["remote", "check"]).run();
        assert!(outcome.code() == 2 && outcome.stderr().contains(&format!("`{url}` {why}")), "{}", outcome.stderr());
    }
}

#[test]
fn many_machines_at_once_get_what_is_right_from_a_redis() {
    let Some((team, server)) = team(&[]) else { return };
    let (machines, runs) = team.is_used_by_many(1000);
    let (asked, put) = (server.has_done("get"), server.has_done("set"));
    println!("{machines} machines and Redis: {runs} ran the command, {asked} requests and {put} objects put there");
    // Who is given up because the machine is busy runs the command: that is right as well.
    assert!(runs + asked >= machines && runs < machines, "{asked} requests, {runs} runs");
    assert_eq!(objects(&server, "a").len(), COMMANDS);
}
