//! Stores in a bucket that several machines keep together: three nodes of Garage, of which one or two are lost.
//!
//! Garage is long to build, so it is a job of its own (`.ci/garage`); where it is not installed these tests say that they are skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::remote::{TEAM, Team, tool};
use crate::servers::{Server, free_port, on_path};
use crate::world::Session;

/// Who may use the bucket.
pub const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "GK31c2f218a2e44f485b94239e"),
    ("AWS_SECRET_ACCESS_KEY", "b892c0665f0ada8a4755dae98baa3b133590e11dae3bcc1f9d769d67f16c3835"),
];

/// Nodes that keep each object three times.
pub struct Garage {
    program: PathBuf,
    place: PathBuf,
    nodes: Vec<Node>,
}

struct Node {
    /// None once it is lost.
    server: Option<Server>,
    port: u16,
}

impl Garage {
    /// Three nodes with a bucket, with their files below `place`; none where the program is missing.
    fn start(place: &Path) -> Option<Garage> {
        let Some(program) = on_path("garage") else {
            println!("skipped: no garage on this machine (.ci/garage)");
            return None;
        };
        fs::create_dir_all(place).unwrap();
        let mut garage = Garage { program, place: place.to_owned(), nodes: Vec::new() };
        for number in 0..3 {
            let node = garage.node(number);
            garage.nodes.push(node);
        }
        let names = [0, 1, 2].map(|number| garage.says(number, &["node", "id", "-q"]).trim().to_owned());
        names[1..].iter().for_each(|name| drop(garage.says(0, &["node", "connect", name])));
        for name in &names {
            garage.says(0, &["layout", "assign", "-z", "here", "-c", "1G", name.split('@').next().unwrap()]);
        }
        garage.says(0, &["layout", "apply", "--version", "1"]);
        let [(_, id), (_, secret)] = KEYS;
        garage.says(0, &["key", "import", "--yes", "-n", "ci", id, secret]);
        garage.says(0, &["bucket", "create", "calls"]);
        garage.says(0, &["bucket", "allow", "--read", "--write", "--owner", "calls", "--key", "ci"]);
        Some(garage)
    }

    fn settings(&self, number: usize) -> PathBuf {
        self.place.join(format!("{number}.toml"))
    }

    fn node(&self, number: usize) -> Node {
        let mut port = 0;
        let server = Server::start(|| {
            let [asked, between] = [(); 2].map(|()| free_port());
            port = asked;
            let place = self.place.join(format!("{number}")).display().to_string();
            let secret = "5".repeat(64);
            let text = format!(
                "metadata_dir = \"{place}/meta\"\ndata_dir = \"{place}/data\"\ndb_engine = \"sqlite\"\nreplication_factor = 3\n\
                 rpc_bind_addr = \"127.0.0.1:{between}\"\nrpc_public_addr = \"127.0.0.1:{between}\"\nrpc_secret = \"{secret}\"\n\
                 [s3_api]\ns3_region = \"garage\"\napi_bind_addr = \"127.0.0.1:{port}\"\n"
            );
            fs::write(self.settings(number), text).unwrap();
            (self.command(number, &["server"]), vec![port, between])
        });
        Node { server: Some(server), port }
    }

    fn command(&self, number: usize, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.settings(number)).args(words).env("RUST_LOG", "error");
        command
    }

    /// What a node answers.
    fn says(&self, number: usize, words: &[&str]) -> String {
        let answer = self.command(number, words).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        assert!(answer.status.success(), "{words:?}: {}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8(answer.stdout).unwrap()
    }

    /// Where its first node is asked.
    pub fn port(&self) -> u16 {
        self.nodes[0].port
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    fn loses(&mut self, number: usize) {
        self.nodes[number].server = None;
    }
}

pub fn team() -> Option<(Team, Garage)> {
    let team = Team::with(TEAM);
    let garage = Garage::start(&team.world.root().join("garage"))?;
    team.moved_to("s3://calls/some/where", &format!("endpoint = \"{}\"\nregion = \"garage\"\n{TEAM}", garage.url()));
    Some((team, garage))
}

fn with_keys(session: Session) -> Session {
    KEYS.iter().fold(session, |session, (name, value)| session.env(name, value))
}

/// What is left waits for who puts it there.
fn push(team: &Team, machine: &str) {
    with_keys(team.on(machine, &["push", "--wait"])).ends(0, "", "");
}

#[test]
fn what_one_machine_made_another_one_replays_from_garage() {
    let Some((team, _garage)) = team() else { return };
    with_keys(team.on("one", &["remote", "check"]))
        .prints("team\ts3://calls/some/where\tmain can be read and written\n");
    let large = team.world.counted("large", "cat in in in in > out").display().to_string();
    team.write("in", vec![b'x'; 3 << 20]);
    let declared = ["run", "-i", "in", "-o", "out", "--", &large];
    with_keys(team.on("one", &declared)).prints("");
    let watched = ["run", "-v", "--", "sh", "-c", "wc -c in; cp in new"];
    with_keys(team.on("one", &watched)).run();
    push(&team, "one");
    with_keys(team.on("other", &declared)).prints("");
    assert_eq!(team.world.executions("large"), 1);
    assert!(fs::read(team.world.path("other/out")).unwrap() == vec![b'x'; 12 << 20]);
    let replayed = with_keys(team.on("other", &watched)).run();
    assert!(replayed.stderr().starts_with("fleche: hit "), "{}", replayed.stderr());
    let told = with_keys(team.on("other", &["stats", "--format", "json"])).run().stdout();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    // One for a declared command and one for its larger value, two for a watched one.
    assert_eq!((&told["by_cache"]["team"]["requests"], &told["by_cache"]["team"]["found"]), (&4.into(), &2.into()));
    with_keys(team.world.fleche(["query", "--cache", "team", "--count"]).current_dir(team.world.path("one")))
        .prints("2\n");
    with_keys(team.on("one", &["remote", "gc", "--older-than", "0s"])).ends(0, "", "");
    let listed = with_keys(team.world.fleche(["query", "--cache", "team"]).current_dir(team.world.path("one"))).run();
    assert_eq!((listed.code(), listed.stdout()), (1, String::new()));
}

#[test]
fn lost_nodes_keep_nobody_from_what_is_right() {
    let Some((team, mut garage)) = team() else { return };
    let tool = tool(&team);
    let words = ["run", "-i", "in", "-o", "out", "--", &tool];
    let run = |machine: &str, text: &str| {
        let _ = fs::remove_file(team.world.path(format!("{machine}/out")));
        with_keys(team.on(machine, &words)).ends(0, text, "aside\n");
        assert_eq!(team.world.read(format!("{machine}/out")), text);
    };
    team.write("in", "text\n");
    run("one", "text\n");
    push(&team, "one");
    garage.loses(2);
    // Two of three are enough.
    with_keys(team.on("other", &["remote", "check"]))
        .prints("team\ts3://calls/some/where\tmain can be read and written\n");
    run("other", "text\n");
    assert_eq!(team.world.executions("tool"), 1);
    team.write("in", "with two\n");
    run("one", "with two\n");
    push(&team, "one");
    run("other", "with two\n");
    assert_eq!(team.world.executions("tool"), 2);
    // One of three is not.
    garage.loses(1);
    let check = with_keys(team.on("other", &["remote", "check"])).run();
    assert_eq!(check.code(), 2, "{}", check.stderr());
    for text in ["with one\n", "and again\n", "and again\nand again\n"] {
        team.write("in", text);
        for machine in ["one", "other"] {
            run(machine, text);
        }
    }
    assert_eq!(team.world.executions("tool"), 8);
    garage.loses(0);
    team.write("in", "with none\n");
    run("one", "with none\n");
}

#[test]
fn many_machines_at_once_get_what_is_right_from_garage() {
    let Some((team, _garage)) = team() else { return };
    let told = |words: &[&str]| {
        let outcome = with_keys(team.world.fleche(words).current_dir(team.world.path("one"))).run();
        outcome.stdout().trim().to_owned()
    };
    let (machines, runs) = team.is_used_by_many_with(400, &KEYS);
    println!("{machines} machines and three nodes of Garage: {runs} ran the command");
    assert!(runs < machines, "{runs} runs");
    assert_eq!(told(&["query", "--cache", "team", "--count"]), crate::remote::COMMANDS.to_string());
}
