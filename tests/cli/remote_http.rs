//! Stores behind a web server: a real one, and what can go wrong on the way to it.

use std::fs;
use std::io::Read;
use std::time::{Duration, SystemTime};

use crate::remote::{COMMANDS, TEAM, Team, tool};
use crate::servers::{Mood, Nginx, Nobody, Passage, Proxy, Relay, Tunnel};

/// Two machines and the web server between them; none where there is no such server.
fn team() -> Option<(Team, Nginx)> {
    let team = Team::with(TEAM);
    let server = Nginx::start(&team.store(), &team.world.root().join("nginx"), "")?;
    team.moved_to(&server.url(), TEAM);
    Some((team, server))
}

#[test]
fn what_one_machine_made_another_one_replays_from_a_web_server() {
    let Some((team, server)) = team() else { return };
    let tool = tool(&team);
    team.write("in", "text\n");
    let words = ["run", "-v", "-i", "in", "-o", "out", "--", &tool];
    let stored = team.on("one", &words).run();
    assert!(stored.stderr().contains("stored"), "{}", stored.stderr());
    team.is_sent("one");
    // A miss costs one request, and so does what is put there.
    server.has_answered(&["GET 404", "PUT 201"]);
    let replayed = team.on("other", &words).run();
    assert_eq!((replayed.code(), replayed.stdout().as_str()), (0, "text\n"));
    assert!(replayed.stderr().starts_with("fleche: hit "), "{}", replayed.stderr());
    assert_eq!((team.world.executions("tool"), team.world.read("other/out")), (1, "text\n".to_owned()));
    server.has_answered(&["GET 200"]);
    // It is here now: nobody is asked.
    team.on("other", &words).run();
    server.has_answered(&[]);
}

#[test]
fn what_a_watched_command_found_is_looked_for_behind_a_web_server() {
    let Some((team, server)) = team() else { return };
    team.write("in", "first\n");
    let words = ["-v", "run", "--", "sh", "-c", "cat in; cp in out"];
    let watched = |machine: &str| {
        let outcome = team.on(machine, &words).run();
        (outcome.stdout(), outcome.stderr().contains("fleche: hit "))
    };
    assert_eq!(watched("one"), ("first\n".to_owned(), false));
    team.is_sent("one");
    server.has_answered(&["GET 404", "PUT 201", "GET 404", "PUT 201"]);
    assert_eq!(watched("other"), ("first\n".to_owned(), true));
    server.has_answered(&["GET 200", "GET 200"]);
    let connections = team.world.read(team.world.root().join("nginx/connections.log"));
    assert!(connections.ends_with("1\n2\n"), "the second one on the connection of the first: {connections}");
    team.write("in", "second\n");
    assert_eq!(watched("other"), ("second\n".to_owned(), false));
}

#[test]
fn large_values_come_from_a_web_server_too() {
    let Some((team, server)) = team() else { return };
    let tool = team.world.counted("tool", "cat in in in in > out").display().to_string();
    team.write("in", vec![b'x'; 3 << 20]);
    let words = ["run", "-i", "in", "-o", "out", "--", &tool];
    team.on("one", &words).run();
    team.is_sent("one");
    server.has_answered(&["GET 404", "PUT 201", "PUT 201"]);
    team.on("other", &words).prints("");
    server.has_answered(&["GET 200", "GET 200"]);
    assert_eq!(team.world.executions("tool"), 1);
    assert!(fs::read(team.world.path("other/out")).unwrap() == vec![b'x'; 12 << 20]);
}

#[test]
fn a_web_server_is_tried_and_what_it_cannot_do_is_said() {
    let Some((team, server)) = team() else { return };
    let check = || {
        let outcome = team.on("one", &["remote", "check"]).run();
        (outcome.code(), outcome.stdout(), outcome.stderr())
    };
    let line = |url: &str| format!("team\t{url}\tmain can be read and written\n");
    assert_eq!(check(), (0, line(&server.url()), String::new()));
    server.has_answered(&["GET 404", "PUT 201", "GET 200", "DELETE 204"]);
    drop(server);
    let (code, _, told) = check();
    assert!(code == 2 && told.contains("connection refused"), "{code} {told}");
    // There may be no right to take anything away, and it is not needed.
    let keeps = Nginx::start(&team.store(), &team.world.root().join("keeps"), "limit_except GET PUT { deny all; }");
    let keeps = keeps.unwrap();
    team.moved_to(&keeps.url(), TEAM);
    assert_eq!(check(), (0, line(&keeps.url()), String::new()));
    assert_eq!(check(), (0, line(&keeps.url()), String::new()));
    assert_eq!(team.objects("check").len(), 1);
    let reads =
        Nginx::start(&team.store(), &team.world.root().join("reads"), "limit_except GET { deny all; }").unwrap();
    team.moved_to(&reads.url(), TEAM);
    let (code, _, told) = check();
    assert!(code == 2 && told.contains("cannot write the cache `team`: it answers 403 Forbidden"), "{told}");
    let (code, told) = {
        let outcome = team.on("one", &["pull"]).run();
        (outcome.code(), outcome.stderr())
    };
    assert!(code == 2 && told.contains("a web server cannot tell what it has"), "{told}");
}

/// A certificate of its own making for these names, and its key; none where nobody can make one.
pub fn certificate(team: &Team, names: &[&str]) -> Option<[String; 2]> {
    let names = names.iter().map(|name| format!("DNS:{name}")).collect::<Vec<_>>().join(",");
    let line = format!(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out certificate -days 2 -subj /CN=localhost \
         -addext 'subjectAltName={names}' -addext basicConstraints=critical,CA:FALSE"
    );
    match team.world.shell(&line).run().code() {
        0 => Some(["certificate", "key"].map(|name| team.world.path(name).display().to_string())),
        _ => {
            println!("skipped: no openssl on this machine");
            None
        }
    }
}

#[test]
fn a_server_is_believed_if_its_certificate_is_and_leads_nowhere_else() {
    let team = Team::with(TEAM);
    let Some([certificate, key]) = certificate(&team, &["localhost", "store.invalid"]) else { return };
    let root = team.store().display().to_string();
    let settings = format!(
        "ssl_certificate {certificate};\nssl_certificate_key {key};\nlocation / {{\nroot {root};\ndav_methods PUT DELETE;\n\
         create_full_put_path on;\n}}\nlocation /away/ {{\nreturn 307 http://localhost:1$request_uri;\n}}"
    );
    let Some(server) = Nginx::with(&team.world.root().join("nginx"), &settings) else { return };
    let url = format!("https://localhost:{}", server.port());
    let check = |url: &str, certificates: &str| {
        team.moved_to(url, TEAM);
        let outcome = team.on("one", &["remote", "check"]).env("SSL_CERT_FILE", certificates).run();
        (outcome.code(), outcome.stderr())
    };
    assert_eq!(check(&url, &certificate), (0, String::new()));
    for nobody in [&key, "/dev/null"] {
        let (code, told) = check(&url, nobody);
        assert!(code == 2 && told.contains("certificate"), "{told}");
    }
    let (code, told) = check(&url.replace("localhost", "127.0.0.1"), &certificate);
    assert!(code == 2 && told.contains("certificate"), "{told}");
    let (code, told) = check(&format!("{url}/away"), &certificate);
    assert!(code == 2 && told.contains("it leads where others could listen"), "{told}");
    // Whom to believe and by which way is another question where it leads.
    let leads = format!("location / {{\nreturn 307 {url}$request_uri;\n}}");
    let open = Nginx::with(&team.world.root().join("open"), &leads).unwrap();
    team.moved_to(&open.url(), "");
    let led = |certificates: &str| {
        let outcome = team.on("one", &["remote", "check"]).env("SSL_CERT_FILE", certificates).run();
        (outcome.code(), outcome.stderr())
    };
    assert_eq!(led(&certificate), (0, String::new()));
    let (code, told) = led("/dev/null");
    assert!(code == 2 && told.contains("certificate"), "{told}");
    let leads = "location / {\nreturn 307 https://store.invalid$request_uri;\n}";
    let away = Nginx::with(&team.world.root().join("away"), leads).unwrap();
    team.moved_to(&away.url(), "");
    let tunnel = Tunnel::start(server.port());
    let led = team.on("one", &["remote", "check"]).env("SSL_CERT_FILE", &certificate);
    assert_eq!(led.env("HTTPS_PROXY", tunnel.url()).env("HTTP_PROXY", "http://127.0.0.1:1").run().code(), 0);
    assert_eq!(tunnel.asked(), ["CONNECT store.invalid:443 HTTP/1.1"]);
    // A proxy in between sees nothing of it.
    let tunnel = Tunnel::start(server.port());
    team.moved_to("https://store.invalid", TEAM);
    let check = team.on("one", &["remote", "check"]).env("SSL_CERT_FILE", &certificate);
    assert_eq!(check.env("HTTPS_PROXY", tunnel.url()).run().code(), 0);
    assert!(tunnel.asked().iter().all(|line| line == "CONNECT store.invalid:443 HTTP/1.1"));
    team.moved_to(&url, TEAM);
    team.write("in", "text\n");
    let words = ["run", "-v", "-i", "in", "--", "cat", "in"];
    team.on("one", &words).env("SSL_CERT_FILE", &certificate).run();
    team.is_sent("one");
    // That variable counts: it may change what a command does.
    let told = team.on("other", &words).env("SSL_CERT_FILE", &certificate).run().stderr();
    assert!(told.starts_with("fleche: hit "), "{told}");
    // Nor does it need more of the stack than there is where it cannot grow.
    for limit in ["ulimit -v 900000", "ulimit -s 256"] {
        let on = |machine: &str, line: &str| {
            let session = team.world.shell(&format!("{limit}; exec fleche {line}")).env("SSL_CERT_FILE", &certificate);
            session.env("FLECHE_CACHE", team.caches(machine)).current_dir(team.world.path(machine)).run()
        };
        team.write("in", limit);
        for line in ["remote check", "run -i in -- cat in", "push --wait"] {
            let outcome = on("one", line);
            assert_eq!((outcome.code(), outcome.stderr()), (0, String::new()), "{limit}: {line}");
        }
        let told = on("other", "run -v -i in -- cat in");
        assert_eq!((told.code(), told.stdout().as_str()), (0, limit));
        assert!(told.stderr().starts_with("fleche: hit "), "{}", told.stderr());
    }
}

/// That would say that the store works.
#[test]
fn a_connection_that_is_cut_is_not_an_object_that_is_cut_short() {
    let Some((team, server)) = team() else { return };
    team.write("in", "text\n");
    let words = ["run", "-v", "-i", "in", "--", "cat", "in"];
    team.on("one", &words).run();
    team.is_sent("one");
    let relay = Relay::start(server.port());
    team.moved_to(&format!("http://{}", relay.address()), TEAM);
    let told = |passage: Passage| {
        relay.is_now(passage);
        let _ = fs::remove_dir_all(team.cache("other"));
        let told = team.on("other", &words).run();
        assert_eq!((told.code(), told.stdout().as_str()), (0, "text\n"));
        told.stderr()
    };
    // Between the head of the answer and the end of the object, wherever that is.
    let cuts: Vec<String> = (200..700).step_by(20).map(|most| told(Passage::First(most))).collect();
    assert!(cuts.iter().all(|told| !told.contains("cut short")), "{cuts:#?}");
    assert!(cuts.iter().filter(|told| told.contains("`team`")).count() > 10, "{cuts:#?}");
    assert!(told(Passage::Free).starts_with("fleche: hit "));
}

#[test]
fn a_store_behind_a_proxy_is_reached_through_it() {
    let Some((team, server)) = team() else { return };
    let tunnel = Tunnel::start(server.port());
    // A name that only the proxy knows.
    team.moved_to("http://store.invalid", TEAM);
    let through = |machine: &str, words: &[&str], exceptions: &str| {
        team.on(machine, words).env("HTTP_PROXY", tunnel.url()).env("NO_PROXY", exceptions)
    };
    let words = ["run", "-v", "-i", "in", "--", "cat", "in"];
    team.write("in", "text\n");
    through("one", &words, "").run();
    through("one", &["push", "--wait"], "").ends(0, "", "");
    let asked = tunnel.asked();
    assert!(!asked.is_empty() && asked.iter().all(|line| line == "CONNECT store.invalid:80 HTTP/1.1"), "{asked:?}");
    let told = through("other", &words, "").run();
    assert!(told.stderr().starts_with("fleche: hit "), "{}", told.stderr());
    assert_eq!(tunnel.asked().len(), 1);
    let check = |variables: &[(&str, &str)]| {
        let session = team.on("other", &["remote", "check"]);
        let told = variables.iter().fold(session, |session, (name, value)| session.env(name, value)).run();
        let is_nobody = |told: &str| {
            ["there is no machine of its name", "nobody tells its address in time"].iter().any(|why| told.contains(why))
        };
        assert!(told.code() == 0 || is_nobody(&told.stderr()), "{}", told.stderr());
        let is_through = !tunnel.asked().is_empty();
        assert_eq!(told.code() == 0, is_through, "{variables:?}");
        is_through
    };
    let (url, address) = (&tunnel.url(), tunnel.url().replace("http://", ""));
    for (variables, is_through) in [
        (&[("http_proxy", url.as_str())][..], true),
        (&[("HTTP_PROXY", url)], true),
        (&[("HTTP_PROXY", &address)], true),
        (&[("HTTP_PROXY", &format!("http://name:word@{address}"))], true),
        (&[("all_proxy", url)], true),
        (&[("ALL_PROXY", url), ("https_proxy", "http://proxy.invalid")], true),
        // One that is for others, and one that whoever asks a web server for something may have set.
        (&[("HTTPS_PROXY", url)], false),
        (&[("HTTP_PROXY", url), ("REQUEST_METHOD", "GET")], false),
        (&[("http_proxy", url), ("REQUEST_METHOD", "GET")], true),
        // Not where it says so.
        (&[("HTTP_PROXY", url), ("NO_PROXY", "elsewhere,store.invalid")], false),
        (&[("HTTP_PROXY", url), ("no_proxy", "elsewhere,\tinvalid.")], false),
        (&[("HTTP_PROXY", url), ("NO_PROXY", ".invalid")], false),
        (&[("HTTP_PROXY", url), ("NO_PROXY", "*.invalid")], false),
        (&[("HTTP_PROXY", url), ("NO_PROXY", "*")], false),
        (&[("HTTP_PROXY", url), ("NO_PROXY", "tore.invalid,valid,store,store.*,10.0.0.0/8")], true),
    ] {
        assert_eq!(check(variables), is_through, "{variables:?}");
    }
    // One of another kind, or at a port that is none, is not done without.
    for other in [format!("socks5://{address}"), format!("http://{address}0000")] {
        let told = team.on("other", &["remote", "check"]).env("HTTP_PROXY", &other).run();
        assert_eq!((told.code(), tunnel.asked().len()), (2, 0), "{other}");
        assert!(
            told.stderr().contains("its proxy, by `http_proxy` or `all_proxy`, is no http://"),
            "{}",
            told.stderr()
        );
    }
    // One that wants to know who asks.
    let strict = Tunnel::after(server.port(), "Proxy-Authorization: Basic bmFtZTp3b3Jk");
    let strictly = |who: &str| {
        let url = strict.url().replace("//", &format!("//{who}"));
        let _ = fs::remove_dir_all(team.cache("other"));
        team.on("other", &["run", "-i", "in", "--", "cat", "in"]).env("HTTP_PROXY", url)
    };
    strictly("name:word@").ends(0, "text\n", "");
    let warning = "fleche: the cache `team` does not let us: its proxy answers 407 Proxy Authentication Required\n";
    strictly("").ends(0, "text\n", warning);
    strictly("name:canary@").ends(0, "text\n", warning);
    // That nothing can be put there either is no news.
    team.world.is_alone();
    team.write("in", "next\n");
    let url = strict.url().replace("//", "//name:canary@");
    team.on("other", &["run", "-i", "in", "--", "cat", "in"]).env("HTTP_PROXY", url).ends(0, "next\n", "");
    // Once for each run, and for those who sent where there was still something to be sent.
    let asked = strict.asked().len();
    assert!((3..=5).contains(&asked), "{asked}");
    // One that proves who it is has to be believed as a store has, whatever the store is asked by.
    if let Some(proof) = certificate(&team, &["localhost"]) {
        let secret = format!("https://localhost:{}", tunnel.in_secret(&proof));
        let check = |trusted: &str| {
            let session = team.on("other", &["remote", "check"]).env("HTTP_PROXY", &secret);
            session.env("SSL_CERT_FILE", trusted).run()
        };
        tunnel.asked();
        let told = check(&proof[0]);
        assert_eq!((told.code(), tunnel.asked().is_empty()), (0, false), "{}", told.stderr());
        let told = check("/dev/null");
        assert_eq!((told.code(), tunnel.asked().is_empty()), (2, true), "{}", told.stderr());
    }
    // And never to this machine.
    team.moved_to(&server.url(), TEAM);
    assert_eq!(through("other", &["remote", "check"], "").run().code(), 0);
    assert_eq!(tunnel.asked(), [""; 0]);
    // One that is gone is as a store that is gone.
    let nobody = Nobody::at(0);
    team.moved_to("http://store.invalid", TEAM);
    let gone = format!("http://127.0.0.1:{}", nobody.port());
    team.write("in", "more\n");
    team.on("other", &["run", "-i", "in", "--", "cat", "in"]).env("HTTP_PROXY", gone).ends(0, "more\n", "");
}

#[test]
fn whatever_is_on_the_way_the_command_does_what_it_does_bare() {
    let Some((team, server)) = team() else { return };
    let tool = tool(&team);
    team.write("in", "text\n");
    let declared = ["run", "-i", "in", "-o", "out", "--", &tool];
    let watched = ["run", "--", "sh", "-c", "cat in; cp in out"];
    let put = |words: &[&str]| {
        let before = team.objects("a");
        team.on("one", words).run();
        team.is_sent("one");
        let new = team.objects("a").into_iter().find(|path| !before.contains(path)).unwrap();
        Mood::Instead(format!("/{}", new.strip_prefix(team.store()).unwrap().display()))
    };
    let [own, other] = [&declared[..], &watched].map(put);
    let proxy = Proxy::start(server.port());
    let reads = "access = \"read-only\"\n";
    team.moved_to(&proxy.url(), reads);
    // Whether it ran, and what was said beside.
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
    let answer = |line: &str, body: &str| {
        Mood::Says(format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()))
    };
    let page = "<!DOCTYPE html><html><body>Sign in</body></html>".repeat(50);
    for mood in [
        Mood::Silent,
        Mood::Slow,
        Mood::CutAtHalf,
        other,
        answer("200 OK", &page),
        answer("200 OK", ""),
        answer("204 No Content", ""),
        answer("206 Partial Content", "half"),
        answer("302 Found\r\nLocation: /elsewhere", ""),
        answer("302 Found\r\nLocation: http://127.0.0.1:1/v1", ""),
        answer("301 Moved\r\nLocation: malformed://", ""),
        answer("302 Found\r\nLocation: ", ""),
        Mood::Endless("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()),
        Mood::Endless("HTTP/1.1 500 Sorry\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()),
        Mood::Endless("HTTP/1.1 302 Found\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()),
        Mood::Endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()),
        Mood::Says("HTTP/1.1 302 Found\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n".to_owned()),
        answer("405 Method Not Allowed", ""),
        answer("503 Service Unavailable", &format!("<Error><Code>{}</Code></Error>", "x".repeat(9000))),
        answer("400 Bad Request", ""),
        answer("404 Not Found", &page),
        answer("429 Too Many Requests\r\nRetry-After: 1", ""),
        answer("500 Internal Server Error", "sorry"),
        answer("503 Service Unavailable\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT", ""),
        answer("507 Insufficient Storage", ""),
        Mood::Says("no HTTP at all\r\n\r\n".to_owned()),
        Mood::Says(format!("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n{page}")),
        Mood::Says(format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Long: ".repeat(1 << 20))),
        Mood::Says(String::new()),
    ] {
        proxy.is_now(mood.clone());
        let before = team.world.executions("tool");
        for words in [&declared[..], &watched] {
            assert_eq!(run(words), "", "{mood:?}");
        }
        assert_eq!(team.world.executions("tool"), before + 1, "it was not believed: {mood:?}");
    }
    let before = team.world.executions("tool");
    proxy.is_now(own);
    assert_eq!(run(&declared), "");
    assert_eq!(team.world.executions("tool"), before, "what it asked for is believed");
    let nobody = Nobody::at(0);
    team.moved_to(&format!("http://127.0.0.1:{}", nobody.port()), reads);
    assert_eq!(run(&declared), "");
    team.moved_to("http://nobody.invalid", reads);
    assert_eq!(run(&declared), "");
    // Nobody wants to be told again and again that he may not.
    team.moved_to(&proxy.url(), reads);
    for line in ["401 Unauthorized", "403 Forbidden"] {
        proxy.is_now(answer(line, ""));
        let told = run(&declared);
        assert_eq!(told, format!("fleche: the cache `team` does not let us: it answers {line}\n"));
        team.write("in", "text\n");
        fs::remove_dir_all(team.cache("other").join("calls")).unwrap();
        let again = team.on("other", &declared).run();
        assert_eq!((again.code(), again.stderr().as_str()), (0, "aside\n"));
    }
}

#[test]
fn an_answer_that_leads_elsewhere_is_followed_without_telling_who_asks() {
    let Some((team, server)) = team() else { return };
    team.write("in", "text\n");
    let words = ["run", "-v", "-i", "in", "--", "cat", "in"];
    team.on("one", &words).run();
    team.is_sent("one");
    let [first, second] = [(); 2].map(|()| Proxy::start(server.port()));
    let object = team.objects("a")[0].strip_prefix(team.store()).unwrap().display().to_string();
    let leads = |line: &str| {
        let place = format!("{}/{object}", second.url());
        Mood::Says(format!("HTTP/1.1 {line}\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"))
    };
    let answer = "{\"headers\": {\"Private-Token\": [\"canary\"], \"Authorization\": [\"canary\"]}}";
    let helper = team.world.script("login", &format!("#!/bin/sh\necho '{answer}'\n"));
    let settings = format!("credential-helper = \"{}\"\n{TEAM}", helper.display());
    team.moved_to(&first.url(), &settings);
    for line in ["302 Found", "307 Temporary Redirect"] {
        first.is_now(leads(line));
        let _ = fs::remove_dir_all(team.cache("other"));
        let told = team.on("other", &words).run().stderr();
        assert!(told.starts_with("fleche: hit "), "{told}");
    }
    let (told, passed_on) = (first.heard(), second.heard());
    assert!(told.len() == 2 && told.iter().all(|head| head.matches("canary").count() == 2), "{told:?}");
    assert!(passed_on.len() == 2 && passed_on.iter().all(|head| !head.contains("canary")), "{passed_on:?}");
    // What is to be put there is not put anywhere else, nor taken for put there.
    first.is_now(Mood::SaysToWriters(format!(
        "HTTP/1.1 302 Found\r\nLocation: {}/x\r\nContent-Length: 0\r\n\r\n",
        second.url()
    )));
    team.write("in", "more\n");
    team.on("one", &words).run();
    let pushed = team.on("one", &["push", "--wait"]).run();
    assert!(pushed.code() == 2 && pushed.stderr().contains("it answers 302 Found"), "{}", pushed.stderr());
    assert_eq!((second.heard().len(), team.objects("a").len()), (2, 1));
    for line in ["405 Method Not Allowed", "400 Bad Request", "409 Conflict", "507 Insufficient Storage"] {
        first.is_now(Mood::SaysToWriters(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n")));
        assert_eq!(team.on("one", &["push", "--wait"]).run().code(), 2);
    }
    first.is_now(Mood::Kind);
    team.on("one", &["push", "--wait"]).ends(0, "", "");
    assert_eq!(team.objects("a").len(), 2);
    // One that is too large is too large whenever it is tried.
    first.is_now(Mood::SaysToWriters("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n".to_owned()));
    team.write("in", "large\n");
    team.on("one", &words).run();
    team.on("one", &["push", "--wait"]).run();
    team.is_sent("one");
}

/// Bytes that can hardly be compressed, and hold no letter of a checkout's name: what holds that is for such checkouts alone.
pub fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes.iter_mut().for_each(|byte| *byte |= 0x80);
    bytes
}

#[test]
fn what_a_store_never_takes_keeps_nothing_else_from_being_put_there() {
    let team = Team::with(TEAM);
    let no_large_ones = "if ($content_length ~ \"^[0-9]{5,}$\") { return 400; }";
    let Some(server) = Nginx::start(&team.store(), &team.world.root().join("nginx"), no_large_ones) else { return };
    let proxy = Proxy::start(server.port());
    team.moved_to(&proxy.url(), TEAM);
    let store = |content: &[u8]| {
        team.write("in", content);
        assert_eq!(team.on("one", &["run", "-i", "in", "--", "cat", "in"]).run().code(), 0);
    };
    let pushed = || {
        let outcome = team.on("one", &["push", "--wait"]).run();
        (outcome.code(), outcome.stderr())
    };
    // By itself it may be the store that is not as it should be.
    store(&noise(20_000));
    for _ in 0..2 {
        let (code, told) = pushed();
        assert!(code == 2 && told.contains("it answers 400 Bad Request"), "{code} {told}");
    }
    store(&noise(20_000));
    store(b"small\n");
    let (code, told) = pushed();
    assert!(code == 2 && told.matches("stays here: it answers 400 Bad Request").count() == 2, "{code} {told}");
    let entries = || {
        let all = walkdir::WalkDir::new(team.cache("one").join("outbox")).min_depth(2).into_iter();
        all.map(|entry| entry.unwrap().into_path()).collect::<Vec<_>>()
    };
    assert_eq!((entries().len(), team.objects("a").len()), (2, 1), "it may take them a little later");
    store(b"little\n");
    assert_eq!(pushed().0, 2);
    for entry in entries() {
        let then = SystemTime::now() - Duration::from_secs(2 * 3600);
        fs::File::options().write(true).open(entry).unwrap().set_modified(then).unwrap();
    }
    store(b"tiny\n");
    pushed();
    team.is_sent("one");
    assert_eq!(team.objects("a").len(), 3);
    assert_eq!(pushed(), (0, String::new()), "what it will not take is not offered for ever");
    // One that takes nothing is not offered everything.
    let no = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    proxy.is_now(Mood::SaysToWriters(no.to_owned()));
    (0..30).for_each(|number| store(format!("{number}\n").as_bytes()));
    let before = proxy.connections();
    assert_eq!(pushed().0, 2);
    let asked = proxy.connections() - before;
    // One that a run has left behind may still be at it.
    assert!((5..15).contains(&asked), "{asked} connections for 30 calls");
    proxy.is_now(Mood::Kind);
    assert_eq!(pushed(), (0, String::new()));
    assert_eq!(team.objects("a").len(), 33);
}

#[test]
fn a_store_that_does_not_answer_is_left_alone_for_a_while() {
    let Some((team, server)) = team() else { return };
    let proxy = Proxy::start(server.port());
    team.moved_to(&proxy.url(), TEAM);
    for mood in [Mood::Silent, Mood::Says("HTTP/1.1 500 Sorry\r\nContent-Length: 0\r\n\r\n".to_owned())] {
        proxy.is_now(mood);
        let _ = fs::remove_dir_all(team.cache("one"));
        let before = proxy.connections();
        for number in 0..40 {
            team.write("in", format!("{number}\n"));
            team.on("one", &["run", "-i", "in", "--", "cat", "in"]).prints(&format!("{number}\n"));
        }
        let asked = proxy.connections() - before;
        // Twice by those who ask, twice by those who send, and now and then one who tries.
        assert!((2..12).contains(&asked), "{asked} connections for 40 commands");
    }
    let told = team.on("one", &["run", "-v", "-i", "in", "--", "cat", "in", "/dev/null"]).run().stderr();
    assert!(told.contains("the cache `team` is of no use: it is left alone for "), "{told}");
    // Who asks for it is not kept from trying, and what was left waits for that.
    proxy.is_now(Mood::Kind);
    team.on("one", &["push", "--wait"]).ends(0, "", "");
    assert_eq!(team.objects("a").len(), 41);
    team.on("one", &["run", "-i", "in", "--", "cat", "/dev/null", "in"]).run();
    team.is_sent("one");
    assert_eq!(team.objects("a").len(), 42, "what was put there has closed it");
}

#[test]
fn a_run_within_a_watched_command_asks_a_web_server_but_no_program() {
    let Some((team, server)) = team() else { return };
    let tool = tool(&team);
    team.write("in", "text\n");
    let words = ["run", "-i", "in", "-o", "out", "--", &tool];
    team.on("one", &words).run();
    team.is_sent("one");
    let fleche = env!("CARGO_BIN_EXE_fleche");
    let nested = [&["-v", "run", "--trace", "on", "--allow-write", "..", "--", fleche, "-v"], &words[..]].concat();
    let ran = |told: &str| {
        let outcome = team.on("other", &nested).run();
        assert_eq!((outcome.code(), outcome.stdout().as_str()), (0, "text\n"));
        assert!(outcome.stderr().contains(told), "{}", outcome.stderr());
        (outcome.stderr(), team.world.executions("tool"))
    };
    // Somebody who would have to be asked is not, which says nothing of the server.
    let helper = team.world.counted("login", "echo '{\"headers\": {}}'");
    team.moved_to(&server.url(), &format!("credential-helper = \"{}\"\n", helper.display()));
    let (told, runs) = ran("; stored ");
    assert!(told.contains("no program is asked within a command that is watched"), "{told}");
    assert_eq!((runs, team.world.executions("login")), (2, 1), "for the outer command alone");
    fs::remove_dir_all(team.cache("other").join("calls")).unwrap();
    team.moved_to(&server.url(), "");
    let before = server.asked();
    assert_eq!(ran("; stored ").1, 2);
    assert_eq!(server.asked() - before, 2, "for the outer command and for the inner one");
    assert_eq!((ran("fleche: hit ").1, server.asked() - before), (2, 2));
}

#[test]
fn a_store_that_asks_to_be_left_alone_is() {
    let Some((team, server)) = team() else { return };
    let proxy = Proxy::start(server.port());
    team.moved_to(&proxy.url(), "");
    team.write("in", "text\n");
    let words = ["run", "-v", "-i", "in", "--", "cat", "in"];
    for (status, wish, least, most) in [
        ("503 Service Unavailable", "1000", 900, 1000),
        ("429 Too Many Requests", "999999999", 3500, 3600),
        ("503 Service Unavailable", "Tue, 31 Dec 2199 23:59:59 GMT", 3500, 3600),
    ] {
        let _ = fs::remove_dir_all(team.cache("one"));
        proxy.is_now(Mood::Says(format!("HTTP/1.1 {status}\r\nRetry-After: {wish}\r\nContent-Length: 0\r\n\r\n")));
        // Once is enough.
        team.on("one", &words).run();
        fs::remove_dir_all(team.cache("one").join("calls")).unwrap();
        let before = proxy.connections();
        let told = team.on("one", &words).run().stderr();
        let (_, left) = told.split_once("it is left alone for ").unwrap_or_else(|| panic!("{told}"));
        let left: u64 = left.split(' ').next().unwrap().parse().unwrap();
        assert!((least..=most).contains(&left) && proxy.connections() == before, "{wish}: {told}");
    }
}

#[test]
fn the_settings_that_are_printed_for_nginx_are_enough_with_a_program_that_tells_who_asks() {
    let team = Team::with(TEAM);
    let place = team.world.root().join("nginx");
    team.moved_to("http://cache.example/some/where", TEAM);
    let printed = team.on("one", &["remote", "setup", "team"]).run();
    assert_eq!((printed.code(), printed.stderr()), (0, String::new()));
    let passwords = team.world.write("passwords", "ci:{PLAIN}canary of a password\n");
    let settings = printed.stdout();
    assert!(settings.contains("location /some/where/v1/ {"), "{settings}");
    let settings = settings
        .replace("/srv/fleche", &team.store().display().to_string())
        .replace("/etc/nginx/fleche.passwords", &passwords.display().to_string());
    let Some(server) = Nginx::with(&place, &settings) else { return };
    let url = format!("{}/some/where", server.url());
    let check = || {
        let outcome = team.on("one", &["remote", "check"]).run();
        (outcome.code(), outcome.stderr())
    };
    team.moved_to(&url, TEAM);
    let (code, told) = check();
    assert!(code == 2 && told.contains("cannot write the cache `team`: it answers 401 Unauthorized"), "{told}");
    // What is asked, and what is answered: `ci:canary of a password`.
    let helper = team.world.script(
        "login",
        "#!/bin/sh\n[ \"$1\" = get ] || exit 1\ncat > asked\n\
         echo '{\"expires\": \"x\", \"headers\": {\"Authorization\": [\"Basic Y2k6Y2FuYXJ5IG9mIGEgcGFzc3dvcmQ=\"]}}'\n",
    );
    team.moved_to(&url, &format!("credential-helper = \"{}\"\n{TEAM}", helper.display()));
    assert_eq!(check(), (0, String::new()));
    assert_eq!(team.world.read("one/asked"), format!("{{\"uri\":\"{url}\"}}"));
    // The one that is shown to users does as well.
    let shown = include_str!("../../docs/remote.md").split("```sh\n").nth(1).unwrap();
    let shown = team.world.script("team-login", shown.split("```").next().unwrap());
    team.world.write(team.world.home().join(".team-login"), "ci:canary of a password\n");
    team.moved_to(&url, &format!("credential-helper = \"{}\"\n{TEAM}", shown.display()));
    assert_eq!(check(), (0, String::new()));
    // One that tells until when it holds is asked once, until what it tells is refused.
    let answer = |password: &str| {
        format!("{{\"expires\": \"2200-01-01T00:00:00Z\", \"headers\": {{\"Authorization\": [\"Basic {password}\"]}}}}")
    };
    let good = "Y2k6Y2FuYXJ5IG9mIGEgcGFzc3dvcmQ=";
    let file = team.world.write("answer", answer(good));
    let lends = team.world.counted("lends", &format!("cat {}", file.display()));
    team.moved_to(&url, &format!("credential-helper = \"{}\"\n{TEAM}", lends.display()));
    assert_eq!([check(), check()], [(0, String::new()), (0, String::new())]);
    assert_eq!(team.world.executions("lends"), 1);
    let kept = team.world.home().join(".local/state/fleche");
    let kept = fs::read_dir(kept).unwrap().next().unwrap().unwrap().path();
    fs::write(&kept, fs::read_to_string(&kept).unwrap().replace(good, "Y2k6bm8=")).unwrap();
    assert_eq!((check().0, check().0, team.world.executions("lends")), (2, 0, 2));
    team.moved_to(&url, &format!("credential-helper = \"{}\"\n{TEAM}", helper.display()));
    // And who has no right to write reads.
    team.moved_to(&url, "");
    assert_eq!(check(), (0, String::new()));
    // What is of no use is not kept, whatever it says of itself.
    let useless = team.world.counted("useless", "echo '{\"expires\": \"2200-01-01T00:00:00Z\"}'");
    team.moved_to(&url, &format!("credential-helper = \"{}\"\n{TEAM}", useless.display()));
    assert_eq!((check().0, check().0, team.world.executions("useless")), (2, 2, 2));
    for (text, why) in [
        ("#!/bin/sh\nexit 3\n", "it failed"),
        ("#!/bin/sh\necho no JSON\n", "what it prints is no JSON"),
        ("#!/bin/sh\necho '{}'\n", "it prints no headers"),
    ] {
        let helper = team.world.script("fails", text);
        team.moved_to(&url, &format!("credential-helper = \"{}\"\n", helper.display()));
        let (code, told) = check();
        assert!(code == 2 && told.contains("does not tell who we are") && told.contains(why), "{told}");
        let told = team.on("one", &["run", "--", "true"]).run();
        assert_eq!(told.code(), 0);
    }
}

#[test]
fn the_time_of_who_tells_who_we_are_counts_for_nothing_but_a_deadline() {
    let Some((team, server)) = team() else { return };
    // More than is read at once with the beginning of an answer.
    let tool = team.world.counted("tool", "cp in out").display().to_string();
    team.write("in", noise(6 << 20));
    let words = ["run", "-i", "in", "-o", "out", "--", &tool];
    team.on("one", &words).prints("");
    team.is_sent("one");
    // Longer than is waited for what takes no time to make.
    let helper = team.world.counted("login", "sleep 2; echo '{\"headers\": {}}'");
    let settings = format!("credential-helper = \"{}\"\n{TEAM}", helper.display());
    team.moved_to(&server.url(), &settings);
    let told = team.on("other", &[&["-v"], &words[..]].concat()).run().stderr();
    assert!(told.starts_with("fleche: hit "), "{told}");
    assert_eq!((team.world.executions("login"), team.world.executions("tool")), (1, 1));
    // But who says how long he waits does not wait for it to end.
    let helper = team.world.counted("slow", "sleep 4; touch ended; echo '{\"headers\": {}}'");
    team.moved_to(&server.url(), &format!("credential-helper = \"{}\"\n{TEAM}", helper.display()));
    let told = team.on("one", &["push", "--deadline", "1s", "--name", "tool"]).run();
    assert_eq!(told.code(), 1, "{}", told.stderr());
    assert_eq!(told.stderr(), "fleche: 1 call waits to be put into `team`\nhint: fleche push\n");
    assert_eq!((team.world.executions("slow"), team.world.path("one/ended").exists()), (1, false));
}

#[test]
fn a_refusal_that_nobody_heard_is_told_by_the_next_run() {
    let Some((team, server)) = team() else { return };
    let proxy = Proxy::start(server.port());
    let denial = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    proxy.is_now(Mood::SaysToWriters(denial.to_owned()));
    team.moved_to(&proxy.url(), TEAM);
    let count = std::cell::Cell::new(0);
    let told = || {
        count.set(count.get() + 1);
        let text = format!("{}\n", count.get());
        team.write("in", &text);
        let outcome = team.on("one", &["run", "-i", "in", "--", "cat", "in"]).run();
        assert_eq!((outcome.code(), outcome.stdout()), (0, text));
        team.world.is_alone();
        outcome.stderr()
    };
    let warning = "fleche: nothing is put into the cache `team`: it answers 403 Forbidden\n";
    assert_eq!([told(), told(), told()], ["", warning, ""]);
    // Who put calls there himself has heard it.
    proxy.is_now(Mood::Kind);
    team.on("one", &["push", "--wait"]).ends(0, "", "");
    proxy.is_now(Mood::SaysToWriters(denial.to_owned()));
    assert_eq!(team.on("one", &["push", "--name", "cat"]).run().code(), 2);
    assert_eq!([told(), told()], ["", ""]);
    // A key that is not there, in place of a right.
    proxy.is_now(Mood::Kind);
    team.on("one", &["push", "--wait"]).ends(0, "", "");
    let key = team.world.home().join(".config/fleche/ci.key");
    fs::remove_file(&key).unwrap();
    let warning = format!(
        "fleche: nothing is put into the cache `team`: cannot read the secret key in `{}`: no such file or directory\n",
        key.display()
    );
    assert_eq!([told(), told(), told()], ["", &warning, ""]);
}

#[test]
fn many_machines_at_once_get_what_is_right_and_hear_of_no_error() {
    let Some((team, server)) = team() else { return };
    let (machines, runs) = team.is_used_by_many(1000);
    let requests = server.answered();
    let count = |what: &str| requests.lines().filter(|line| *line == what).count();
    println!(
        "{machines} machines and nginx: {runs} ran the command, {} hits, {} misses and {} objects put there",
        count("GET 200"),
        count("GET 404"),
        count("PUT 201") + count("PUT 204")
    );
    // Who is given up because the machine is busy runs the command: that is right as well.
    assert!(runs + count("GET 200") >= machines && runs < machines, "{runs} runs");
    assert_eq!(team.objects("a").len(), COMMANDS);
}
