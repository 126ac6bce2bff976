//! `transfer` to stores that many machines share, and from there.

use std::fs;
use std::path::Path;

use crate::remote::{TEAM, Team, tool};

/// A cache of its own beside the two machines.
fn third(team: &Team) -> String {
    team.world.root().join("cache-third").display().to_string()
}

fn keys(team: &Team, cache: &str) -> Vec<String> {
    let told = team.world.fleche(["--cache", cache, "query"]).run().stdout();
    let mut keys: Vec<String> = told.lines().map(str::to_owned).collect();
    keys.sort();
    keys
}

/// One call with a value of its own, and one whose output is its result.
fn two_calls(team: &Team) -> [String; 2] {
    team.configure("signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\naccess = \"read-write\"\n");
    let tool = tool(team);
    team.write("in", vec![b'x'; 9 << 20]);
    team.on("one", &["run", "-i", "in", "-o", "out", "--tag", "project=alpha", "--", &tool]).run();
    team.write("in", "text\n");
    team.on("one", &["run", "-i", "in", "-o", "out", "--", &tool]).run();
    let one = team.cache("one").display().to_string();
    let [of_alpha, all] = [&["--tag", "project=alpha"][..], &[]].map(|filter| {
        team.world.fleche([&["--cache", &one, "query"][..], filter].concat()).run().stdout().trim().to_owned()
    });
    let other = all.lines().find(|key| *key != of_alpha).unwrap().to_owned();
    [of_alpha, other]
}

#[test]
fn calls_are_transferred_to_a_store_that_many_machines_share() {
    let team = Team::with(TEAM);
    let [of_alpha, other] = two_calls(&team);
    let one = team.cache("one").display().to_string();
    let to_team = |more: &[&str]| team.world.fleche([&["transfer", "--from", &one, "--to", "team"][..], more].concat());
    // Without a rule that names them nothing goes.
    let told = to_team(&[]).run();
    assert_eq!(told.code(), 1);
    assert!(told.stderr().contains("stays where it is: no rule of `team` allows it to go"), "{}", told.stderr());
    to_team(&["-n"]).prints("");
    team.configure(&format!("signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\n{TEAM}"));
    to_team(&["-n", "--tag", "project=alpha"]).prints(&format!("{of_alpha}\n"));
    assert!(team.objects("a").is_empty());
    to_team(&["--tag", "project=alpha"]).prints("");
    assert_eq!((team.objects("a").len(), team.objects("b").len()), (1, 1));
    // What is there stays, unless it is of no use or is to be replaced.
    let object = &team.objects("a")[0];
    let written = || fs::metadata(object).unwrap().modified().unwrap();
    let before = written();
    let told = to_team(&["-v", "--tag", "project=alpha"]).run();
    assert_eq!(told.code(), 0);
    assert!(told.stderr().contains(&format!("{} is there already", &of_alpha[..12])), "{}", told.stderr());
    assert_eq!(written(), before);
    to_team(&["--overwrite", "--tag", "project=alpha"]).prints("");
    assert_ne!(written(), before);
    fs::write(object, "nonsense").unwrap();
    to_team(&["--tag", "project=alpha"]).prints("");
    assert_ne!(fs::read(object).unwrap(), b"nonsense");
    // What is forgotten here is whole there: it is put there anew, with what lies by itself.
    fs::remove_file(&team.objects("b")[0]).unwrap();
    to_team(&["--pop"]).prints("");
    assert_eq!(keys(&team, &one), [""; 0]);
    team.write("in", vec![b'x'; 9 << 20]);
    let hit = team.on("other", &["run", "-i", "in", "-o", "out", "--", &tool(&team)]).run();
    assert_eq!((hit.code(), team.world.executions("tool")), (0, 2), "{}", hit.stderr());
    assert_eq!(keys(&team, &team.cache("other").display().to_string()), [of_alpha]);
    let mut there = keys(&team, "team");
    there.retain(|key| *key == other);
    assert_eq!(there.len(), 1);
}

#[test]
fn calls_are_transferred_from_a_store_that_many_machines_share() {
    let team = Team::with(TEAM);
    let [of_alpha, other] = two_calls(&team);
    team.configure(&format!("signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\n{TEAM}"));
    let one = team.cache("one").display().to_string();
    team.world.fleche(["transfer", "--from", &one, "--to", "team"]).prints("");
    let third = third(&team);
    let to_third =
        |more: &[&str]| team.world.fleche([&["transfer", "--from", "team", "--to", &third][..], more].concat());
    to_third(&["-n", "--tag", "project=alpha"]).prints(&format!("{of_alpha}\n"));
    assert!(!Path::new(&third).join("calls").exists());
    to_third(&[&of_alpha[..8]]).prints("");
    assert_eq!(keys(&team, &third), std::slice::from_ref(&of_alpha));
    let nothing = to_third(&["--name", "no-such"]).run();
    assert_eq!((nothing.code(), nothing.stderr()), (1, "fleche: no call matches\n".to_owned()));
    // Moved from there: nobody finds them there any more, and here they replay.
    to_third(&["--pop"]).prints("");
    assert_eq!(team.objects("a").len(), 0);
    let mut both = vec![of_alpha, other];
    both.sort();
    assert_eq!(keys(&team, &third), both);
    team.write("in", vec![b'x'; 9 << 20]);
    let session = team.world.fleche(["run", "-i", "in", "-o", "out", "--", &tool(&team)]);
    let hit = session.env("FLECHE_CACHE", &third).current_dir(team.world.path("other")).run();
    assert_eq!((hit.code(), team.world.executions("tool")), (0, 2), "{}", hit.stderr());
    assert_eq!(fs::metadata(team.world.path("other/out")).unwrap().len(), 9 << 20);
}

#[test]
fn what_cannot_be_transferred_stays_and_is_told() {
    let team = Team::with(TEAM);
    two_calls(&team);
    team.configure(&format!(
        "signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\n{TEAM}[caches.more]\nurl = \"file:///nowhere\"\n"
    ));
    let one = team.cache("one").display().to_string();
    team.world.fleche(["transfer", "--from", &one, "--to", "team"]).prints("");
    let third = third(&team);
    let told = |words: &[&str], code: i32, said: &str| {
        let outcome = team.world.fleche(words).run();
        assert_eq!(outcome.code(), code, "{words:?}: {}", outcome.stderr());
        assert!(outcome.stderr().contains(said), "{words:?}: {}", outcome.stderr());
    };
    told(&["transfer", "--from", "team", "--to", "more"], 2, "what others signed is not signed anew");
    told(&["transfer", "--from", "team", "--to", "team"], 2, "both caches are the same one");
    told(&["transfer", "--from", "team", "--to", "none"], 2, "cache `none` is not configured");
    // What came from another cache somebody else made.
    let fourth = team.world.root().join("cache-fourth").display().to_string();
    team.world.fleche(["transfer", "--from", "team", "--to", &fourth]).prints("");
    told(&["transfer", "--from", &fourth, "--to", "team"], 1, " stays where it is: another cache made it");
    // An object that is damaged stays where it is, the other one goes.
    let object = &team.objects("a")[0];
    let mut bytes = fs::read(object).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(object, bytes).unwrap();
    told(&["transfer", "--from", "team", "--to", &third, "--pop"], 1, "1 call was not transferred");
    assert_eq!((team.objects("a"), keys(&team, &third).len()), (vec![object.clone()], 1));
    // A store that may only be read, and one that is gone.
    team.configure("signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\n");
    told(&["transfer", "--from", &one, "--to", "team"], 2, "nothing is put into the cache `team`: it is read-only");
    told(&["transfer", "--from", "team", "--to", &third, "--pop"], 2, "the cache `team` is read-only");
    team.configure(&format!("signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\n{TEAM}"));
    fs::rename(team.store(), team.world.root().join("away")).unwrap();
    told(&["transfer", "--from", &one, "--to", "team", "--pop"], 2, "cannot put calls into the cache `team`");
    told(&["transfer", "--from", "team", "--to", &third], 2, "cannot list the cache `team`");
    assert_eq!(keys(&team, &one).len(), 2);
}

#[test]
fn what_is_nowhere_else_any_more_is_not_replaced() {
    let team = Team::with(TEAM);
    team.write("in", "text\n");
    team.configure("signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\naccess = \"read-write\"\n");
    let one = team.cache("one").display().to_string();
    let words = ["run", "-i", "in", "--", "sh", "-c", "pwd"];
    // The results tell of their checkouts, and so both calls have one name.
    for machine in ["one", "other"] {
        let session = team.world.fleche(words).env("FLECHE_CACHE", &one).current_dir(team.world.path(machine));
        session.prints(&format!("{}\n", team.world.path(machine).display()));
    }
    assert_eq!(keys(&team, &one).len(), 2);
    team.configure(&format!("signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\n{TEAM}"));
    let pop = ["transfer", "--from", &one, "--to", "team", "--pop"];
    for more in [&[][..], &["--overwrite"]] {
        let told = team.world.fleche([&pop[..], more].concat()).run();
        assert_eq!(told.code(), 1);
        assert!(told.stderr().contains("another call is there in its place"), "{}", told.stderr());
        assert_eq!((keys(&team, &one).len(), team.objects("a").len()), (1, 1));
    }
    // Nor is what somebody made whom others may believe.
    let object = fs::read(&team.objects("a")[0]).unwrap();
    team.world.fleche(["remote", "key", "new"]).run();
    team.configure(&format!("signing-key = \"new.key\"\ntrusted-keys = [\"new.pub\"]\n{TEAM}"));
    let told = team.world.fleche([&pop[..], &["--overwrite"]].concat()).run();
    assert!(told.code() == 1 && told.stderr().contains("another call is there in its place"), "{}", told.stderr());
    assert!(fs::read(&team.objects("a")[0]).unwrap() == object && keys(&team, &one).len() == 1);
    team.configure(&format!("signing-key = \"ci.key\"\ntrusted-keys = [\"ci.pub\"]\n{TEAM}"));
    // Without that both are here, whichever is there.
    team.world.fleche(&pop[..5]).prints("");
    assert_eq!(keys(&team, "team"), keys(&team, &one));
}
