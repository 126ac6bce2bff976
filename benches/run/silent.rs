//! Commands in a row that all miss, with a store beyond this machine that takes connections and says nothing.

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use super::process::fresh_number;
use super::report::{Limit, Report, Row, seconds};
use super::small::TRUE;
use super::world::{Build, Cache, Declared, fleche};
use super::{Bench, Group};

/// So many commands come in a row.
const COMMANDS: u32 = 200;
/// What such a store may add to each of them, in milliseconds.
const MOST: f64 = 15.0;

/// Measures the group `silent`.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if !bench.does(Group::Silent) {
        return Ok(());
    }
    let store = silent()?;
    for build in &bench.builds {
        for scheme in ["http", "redis"] {
            let home = |name: &str| bench.world.cache(&format!("silent-{scheme}-{}-{name}", build.label));
            let (alone, mut beside) = (home("alone"), home("beside"));
            configure(&mut beside, build, &format!("{scheme}://{store}"))?;
            let (mut without, mut with) = (Duration::ZERO, Duration::ZERO);
            for _ in 0..COMMANDS {
                without += miss(&alone, build)?;
                with += miss(&beside, build)?;
            }
            let added = (with.as_secs_f64() - without.as_secs_f64()) / f64::from(COMMANDS);
            report.add(Row {
                case: format!("a silent store ({scheme}), {COMMANDS} misses in a row, more for each"),
                program: build.label.clone(),
                measured: seconds(added),
                against: format!("none ({})", seconds(without.as_secs_f64() / f64::from(COMMANDS))),
                limit: Some(Limit::AtMost(MOST)),
                value: Some(added * 1e3),
                ..Row::default()
            });
        }
    }
    Ok(())
}

/// Where somebody takes connections as long as this process lives, and says nothing.
fn silent() -> Result<SocketAddr, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        kept.extend(listener.incoming().flatten());
    });
    Ok(address)
}

/// A store that may be written, as the second of two members of the stack.
fn configure(cache: &mut Cache, build: &Build, url: &str) -> Result<(), Box<dyn Error>> {
    let words = [build.path.as_os_str(), "remote".as_ref(), "key".as_ref(), "ci".as_ref()].map(OsString::from);
    let keys = cache.output(&words)?;
    let home = cache.folder.parent().ok_or("a cache has no home")?;
    let settings = format!("[caches.team]\nurl = \"{url}\"\naccess = \"read-write\"\nupload = [\"*\"]\n{keys}");
    fs::write(home.join(".config/fleche/config.toml"), settings)?;
    cache.environment.push("FLECHE_CACHE=local,team".into());
    Ok(())
}

/// How long a command takes that was never run before.
fn miss(cache: &Cache, build: &Build) -> Result<Duration, Box<dyn Error>> {
    let number = fresh_number().to_string();
    let words = fleche(build, Declared::Input, &[TRUE, &number]);
    let began = Instant::now();
    let observed = cache.succeed(&words)?;
    let took = began.elapsed();
    match observed.stderr.is_empty() {
        true => Ok(took),
        false => Err(format!("{words:?} said `{}`", observed.stderr).into()),
    }
}
