//! Questions about stores that many machines share: what they have, and what they were good for.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use crate::remote::{TEAM, Team, tool};

#[test]
fn what_a_store_has_can_be_asked_without_taking_it_over() {
    let team = Team::with(TEAM);
    let bare = |words: &[&str]| team.world.fleche(words).current_dir(team.world.path("other"));
    // Nothing is there yet, which is no error but nothing found.
    let nothing = bare(&["query", "--cache", "team"]).run();
    assert_eq!((nothing.code(), nothing.stdout()), (1, String::new()), "{}", nothing.stderr());
    let tool = tool(&team);
    team.write("in", vec![b'x'; 9 << 20]);
    team.on("one", &["run", "-i", "in", "-o", "out", "--tag", "project=alpha", "--", &tool]).run();
    team.write("in", "text\n");
    team.on("one", &["run", "--", "sh", "-c", "cat in"]).prints("text\n");
    team.on("one", &["push", "--wait"]).ends(0, "", "");
    let of_one = team.on("one", &["table", "--columns", "key,name,walltime,tag.project"]).run().stdout();
    let table = bare(&["table", "--cache", "team", "--columns", "key,name,walltime,tag.project"]).run();
    assert_eq!((table.code(), table.stderr()), (0, String::new()));
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&table.stdout()), sorted(&of_one));
    let named = bare(&["query", "--cache", "team", "--name", "sh", "--json"]).run();
    assert_eq!(named.stdout().lines().count(), 1, "{}", named.stderr());
    let told: serde_json::Value = serde_json::from_str(&named.stdout()).unwrap();
    assert_eq!((&told["name"], &told["arg.1"]), (&"sh".into(), &"-c".into()), "{told}");
    // Nothing is left of it here, and nothing was taken over.
    assert!(!team.world.home().join(".cache/fleche/calls").exists());
    let temporary = team.world.root().join("temporary");
    fs::create_dir(&temporary).unwrap();
    bare(&["query", "--cache", "team", "--count"]).env("TMPDIR", &temporary).prints("2\n");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    // Who is killed with it leaves it to the next one.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut killed = bare(&["query", "--cache", "team"]).env("TMPDIR", &temporary);
    let ended = killed.command().stdout(writer).status().unwrap();
    assert_eq!(ended.signal(), Some(libc::SIGPIPE), "{ended:?}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 1);
    bare(&["query", "--cache", "team", "--count"]).env("TMPDIR", &temporary).prints("2\n");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    // What is damaged is said and left out.
    let object = &team.objects("a")[0];
    let mut bytes = fs::read(object).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(object, bytes).unwrap();
    let told = bare(&["query", "--cache", "team", "--count"]).run();
    assert_eq!((told.code(), told.stdout()), (0, "1\n".to_owned()));
    assert!(told.stderr().contains(" is left out: "), "{}", told.stderr());
    // With others before it, it is those that are asked.
    assert_eq!(team.on("other", &["query"]).run().code(), 1);
    // What changes something needs a folder.
    let told = bare(&["--cache", "team", "evict", "--name", "sh"]).run();
    assert!(told.code() == 2 && told.stderr().contains("cannot be the first one"), "{}", told.stderr());
}

#[test]
fn what_a_store_was_good_for_is_counted() {
    let team = Team::with(TEAM);
    let stats = |machine: &str| {
        let outcome = team.on(machine, &["stats", "--format", "json"]).run();
        serde_json::from_str::<serde_json::Value>(&outcome.stdout()).unwrap()["by_cache"].clone()
    };
    assert_eq!(stats("one"), serde_json::json!({}));
    team.write("in", "text\n");
    let tool = tool(&team);
    let words = ["run", "-i", "in", "-o", "out", "--", &tool];
    team.on("one", &words).run();
    team.on("one", &["push", "--wait"]).ends(0, "", "");
    let of_one = stats("one")["team"].clone();
    for (name, value) in
        [("asked", 1), ("found", 0), ("failed", 0), ("saved_ns", 0), ("bytes_received", 0), ("sent", 1), ("unsent", 0)]
    {
        assert_eq!(of_one[name], value, "{name}: {of_one:#}");
    }
    let size = fs::metadata(&team.objects("a")[0]).unwrap().len();
    assert_eq!((&of_one["requests"], &of_one["bytes_sent"]), (&2.into(), &size.into()));
    assert_eq!(of_one["lost_ns"], of_one["waited_ns"]);
    // A hit that is far away, one that is here, and a store that is gone.
    team.on("other", &words).run();
    team.on("other", &words).run();
    let of_other = stats("other")["team"].clone();
    for (name, value) in [("asked", 1), ("found", 1), ("requests", 1), ("lost_ns", 0), ("sent", 0), ("bytes_sent", 0)] {
        assert_eq!(of_other[name], value, "{name}: {of_other:#}");
    }
    assert_eq!(of_other["bytes_received"], size);
    let listed = team.on("one", &["table", "--columns", "walltime", "--format", "json"]).run().stdout();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let call = (listed[0]["walltime"].as_f64().unwrap() * 1e9).round() as u64;
    assert_eq!(of_other["saved_ns"], call);
    // Who takes over all that is there asks, too, and saves no time yet.
    let saved = of_other["saved_ns"].clone();
    team.on("other", &["pull"]).ends(0, "", "");
    let of_other = stats("other")["team"].clone();
    for (name, value) in [("asked", 2), ("found", 2), ("requests", 2), ("lost_ns", 0), ("bytes_received", 2 * size)] {
        assert_eq!(of_other[name], value, "{name}: {of_other:#}");
    }
    assert_eq!(of_other["saved_ns"], saved);
    fs::rename(team.store(), team.world.root().join("away")).unwrap();
    team.write("in", "more\n");
    team.on("other", &words).run();
    let of_other = stats("other")["team"].clone();
    for (name, value) in [("asked", 3), ("found", 2), ("failed", 1), ("requests", 3)] {
        assert_eq!(of_other[name], value, "{name}: {of_other:#}");
    }
    let text = team.on("other", &["stats"]).run().stdout();
    assert!(text.contains("\nbeyond this machine\n  team                 found 2 of 3 (1 in error), saved "), "{text}");
    let table = team.on("other", &["stats", "--by", "cache"]).run().stdout();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        (rows.len(), &rows[0][..4], &rows[1][..4]),
        (2, &["cache", "asked", "found", "failed"][..], &["team", "3", "2", "1"][..])
    );
    // Of commands of a name it is not known, and no command is called like a store.
    let said = team.on("other", &["stats", "--name", "team", "--format", "json"]).run().stdout();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&said["by_cache"], &said["by_name"], &said["hits"]),
        (&serde_json::json!({}), &serde_json::json!({}), &0.into())
    );
}
