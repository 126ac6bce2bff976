//! A C project that one machine builds: another one replays it whole from the store that both use, of whichever kind that is.

use std::fs;
use std::path::Path;

use crate::project::{DECLARED, Project, WHOLE, made, same};
use crate::remote::{TEAM, Team};
use crate::servers::{KEYS, Nginx, Proxy};
use crate::world::Session;
use crate::{remote_garage, remote_redis, remote_s3};

/// Words of `make` with which each compiler is run by fleche, which finds out by itself what it reads.
const WATCHED: [&str; 2] = ["CC=fleche run --scratch starts-of-* -- cc", "LINK=fleche run --scratch starts-of-* -- cc"];

/// A store that two machines use, as they see it and as it sees them.
struct Shared<'t> {
    team: &'t Team,
    /// What tells it who they are.
    variables: &'t [(&'t str, &'t str)],
    /// How often it was asked for an object, as counted there; none where there is nobody to count.
    asked: Option<&'t dyn Fn() -> usize>,
}

impl Shared<'_> {
    fn know(&self, session: Session) -> Session {
        self.variables.iter().fold(session, |session, (name, value)| session.env(name, value))
    }

    /// A project is built by turns on both machines, with what each compiler reads said and found out.
    fn builds_a_project_once(&self) {
        let project = Project::new(&self.team.world, "");
        // The header that changes is said to be read by all compilers.
        self.builds(&project, &DECLARED, 1, WHOLE);
        // What a watched command read is asked for first. One reads that header, and one the result.
        self.builds(&project, &WATCHED, 2, 2);
    }

    /// A hit costs so many `requests`; so many compilers have something else to do when one header is `changed`.
    fn builds(&self, project: &Project, words: &[&str; 2], requests: usize, changed: usize) {
        let [one, other] = ["one", "other"].map(|name| project.check_out(name));
        let bare = project.bare(&one);
        same(&project.bare(&other), &bare);
        // How many compilers were started, and how often the store was asked.
        let build = |checkout: &Path| {
            let machine = checkout.file_name().unwrap().to_str().unwrap();
            let before = self.asked.map(|asked| asked());
            let make = project.make(checkout, words).env("FLECHE_CACHE", self.team.caches(machine));
            let started = project.starts_of(self.know(make));
            let asked = self.asked.map(|asked| asked() - before.unwrap());
            self.know(self.team.on(machine, &["push", "--wait"])).ends(0, "", "");
            (started, asked)
        };
        let hits = |number: usize| (0, self.asked.map(|_| number * requests));
        assert_eq!(build(&one).0, WHOLE);
        same(&made(&one), &bare);
        assert_eq!(build(&other), hits(WHOLE));
        same(&made(&other), &bare);
        assert!(project.is_up_to_date(&other, words));
        // It has them now.
        project.make(&other, &["clean"]).prints("rm -rf build\n");
        assert_eq!(build(&other), hits(0));
        same(&made(&other), &bare);
        // The other way round.
        for checkout in [&one, &other] {
            let header = checkout.join("include/m7.h");
            let text = fs::read_to_string(&header).unwrap();
            fs::write(&header, text.replace("49", "94")).unwrap();
            project.touch(&header);
        }
        assert_eq!(build(&other).0, changed);
        let edited = made(&other);
        assert_eq!(build(&one), hits(changed));
        same(&made(&one), &edited);
        same(&edited, &project.bare(&other));
        assert_ne!(edited, bare);
    }
}

#[test]
fn a_project_is_built_once_with_a_folder() {
    let team = Team::with(TEAM);
    Shared { team: &team, variables: &[], asked: None }.builds_a_project_once();
}

#[test]
fn a_project_is_built_once_with_a_web_server() {
    let team = Team::with(TEAM);
    let Some(server) = Nginx::start(&team.store(), &team.world.root().join("nginx"), "") else { return };
    team.moved_to(&server.url(), TEAM);
    let asked = || server.asked();
    Shared { team: &team, variables: &[], asked: Some(&asked) }.builds_a_project_once();
}

#[test]
fn a_project_is_built_once_with_a_bucket() {
    let Some((team, server)) = remote_s3::team() else { return };
    let proxy = Proxy::start(server.port());
    team.moved_to("s3://calls/some/where", &format!("endpoint = \"{}\"\n{TEAM}", proxy.url()));
    let asked = || proxy.asked();
    Shared { team: &team, variables: &KEYS, asked: Some(&asked) }.builds_a_project_once();
}

#[test]
fn a_project_is_built_once_with_a_redis() {
    let Some((team, server)) = remote_redis::team(&[]) else { return };
    let asked = || server.has_done("get");
    Shared { team: &team, variables: &[], asked: Some(&asked) }.builds_a_project_once();
}

#[test]
fn a_project_is_built_once_with_garage() {
    let Some((team, garage)) = remote_garage::team() else { return };
    let proxy = Proxy::start(garage.port());
    team.moved_to("s3://calls/some/where", &format!("endpoint = \"{}\"\nregion = \"garage\"\n{TEAM}", proxy.url()));
    let asked = || proxy.asked();
    Shared { team: &team, variables: &remote_garage::KEYS, asked: Some(&asked) }.builds_a_project_once();
}
