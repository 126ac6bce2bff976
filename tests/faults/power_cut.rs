//! Power cuts: copies of the image of a file system that is in use.
//!
//! What is read from the image file of a mounted loop device is what the kernel has written back, in the order in which it
//! did: all else would be lost with the power. The copy is mounted, which replays its journal, and every command is run with
//! the cache that is on it: right, by a hit or by a miss.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::calls::{Effect, Kind, Met};
use crate::injector;
use crate::random::Random;
use crate::ward::{Items, Ward};
use crate::world::{Outcome, World, is_root};

/// Images that two workers judge together, at least.
const IMAGES: usize = 200;
const WORKERS: usize = 2;
/// Bytes of the file system.
const SIZE: u64 = 16 << 20;
/// Commands that go on meanwhile.
const ROUNDS: usize = 40;
/// Changes of a cache between two images, at most.
const GAP: usize = 35;
const SEED: u64 = 0x5eed_0f70;
/// How files are written back: as most systems are set up, and as early as it is allowed.
const OPTIONS: [&str; WORKERS] = ["loop", "loop,noauto_da_alloc,data=writeback"];

/// What each image is asked.
const LINES: [&[&str]; 4] = [
    &["run", "-i", "one", "-i", "big", "--no-stdin", "--", "../printer", "one"],
    &["run", "-i", "two", "--no-stdin", "--", "../printer", "two"],
    &["run", "-i", "input", "-i", "big", "-o", "small", "-o", "large", "--no-stdin", "--", "../tool"],
    &["run", "--no-stdin", "--", "cp", "input", "copy"],
];

/// What goes on while the power may fail, besides the lines themselves.
const UPKEEP: [&[&str]; 4] = [
    &["gc", "--grace", "0s", "--max-size", "50k"],
    &["evict", "--arg", "1=two"],
    &["tag", "--name", "printer", "a=b"],
    &["reindex"],
];

/// What a bare run leaves.
struct Bare {
    outcome: Outcome,
    files: Items,
}

/// A moment at which the power fails.
struct Image {
    file: PathBuf,
    /// What went on.
    during: String,
    /// Calls that were promised to survive: those that an import said to be there.
    promised: BTreeSet<String>,
}

#[derive(Default)]
struct Tally {
    images: usize,
    hits: usize,
    misses: usize,
    healed: usize,
    promised: usize,
    failures: Vec<String>,
}

#[test]
fn a_power_cut_loses_what_it_may_and_makes_nothing_wrong() {
    if let Err(why) = is_possible() {
        println!("power cut: skipped: {why}");
        return;
    }
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|number| scope.spawn(move || work(number))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let sum = |part: fn(&Tally) -> usize| tallies.iter().map(part).sum::<usize>();
    let failures: Vec<_> = tallies.iter().flat_map(|tally| &tally.failures).collect();
    println!(
        "power cut: {} images (seed {SEED:#x}), {} hits and {} misses, {} caches mended, {} promised calls looked for, {} failures",
        sum(|tally| tally.images),
        sum(|tally| tally.hits),
        sum(|tally| tally.misses),
        sum(|tally| tally.healed),
        sum(|tally| tally.promised),
        failures.len()
    );
    assert!(failures.is_empty(), "{} failures", failures.len());
    assert!(sum(|tally| tally.images) >= IMAGES);
    // Else nothing of the cache ever came to the disk, or everything always did.
    assert!(sum(|tally| tally.hits) > IMAGES / 10 && sum(|tally| tally.misses) > IMAGES / 10);
    assert!(sum(|tally| tally.promised) > 0);
}

/// Whether images can be mounted here.
fn is_possible() -> Result<(), String> {
    if !is_root() {
        return Err("only root can mount images".to_owned());
    }
    std::thread::spawn(|| {
        apart().map_err(|why| format!("no mounts of our own: {why}"))?;
        let folder = tempfile::tempdir().map_err(|why| why.to_string())?;
        let image = folder.path().join("image");
        make(&image)?;
        let mounted = Mounted::new(&image, &folder.path().join("here"), OPTIONS[0])?;
        drop(mounted);
        Ok(())
    })
    .join()
    .unwrap()
}

/// Gives this thread, and what it starts, mounts of its own: they end with it, whatever happens, and their loop devices too.
pub fn apart() -> io::Result<()> {
    // SAFETY: no memory is involved.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: constant strings.
    let made = unsafe {
        libc::mount(
            c"none".as_ptr(),
            c"/".as_ptr(),
            std::ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            std::ptr::null(),
        )
    };
    if made < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn did(program: &str, words: &[&Path]) -> Result<(), String> {
    let outcome = Command::new(program).args(words).output().map_err(|why| format!("{program}: {why}"))?;
    if outcome.status.success() {
        Ok(())
    } else {
        Err(format!("{program} {words:?}: {}", String::from_utf8_lossy(&outcome.stderr)))
    }
}

/// An empty file system.
fn make(image: &Path) -> Result<(), String> {
    File::create(image).and_then(|file| file.set_len(SIZE)).map_err(|why| why.to_string())?;
    let words = ["-q", "-F", "-b", "1024", "-J", "size=1", "-N", "4096"].map(Path::new);
    did("mkfs.ext4", &[&words[..], &[image]].concat())
}

/// A mounted image.
pub struct Mounted(PathBuf);

impl Mounted {
    fn new(image: &Path, at: &Path, options: &str) -> Result<Mounted, String> {
        fs::create_dir_all(at).map_err(|why| why.to_string())?;
        did("mount", &[Path::new("-n"), Path::new("-o"), Path::new(options), image, at])?;
        Ok(Mounted(at.to_owned()))
    }

    /// A file system in memory.
    pub fn of_memory(at: &Path, options: &str) -> Result<Mounted, String> {
        fs::create_dir_all(at).map_err(|why| why.to_string())?;
        did(
            "mount",
            &["-n", "-t", "tmpfs", "-o", options, "none"]
                .map(Path::new)
                .iter()
                .copied()
                .chain([at])
                .collect::<Vec<_>>(),
        )?;
        Ok(Mounted(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Where something is still open there, it goes with the last of it.
        let _ = did("umount", &[Path::new("-n"), Path::new("-l"), &self.0]);
    }
}

fn prepare(world: &World) {
    let big = "0123456789abcde\n".repeat(1300);
    for (name, text) in [("big", big.as_str()), ("input", "1\n"), ("one", "one\n"), ("two", "two\n")] {
        world.write(name, text);
    }
    for (name, body) in
        [("printer", "cat \"$1\" big"), ("tool", "cat big; echo err >&2; cp input small; cat input big > large")]
    {
        let text = format!("#!/bin/sh\necho x >> '{}'\n{body}\n", world.count_file(name).display());
        world.script(world.root().join(name), &text);
    }
}

fn work(number: usize) -> Tally {
    apart().unwrap();
    let ward = Ward::new(prepare);
    let mut random = Random::new(SEED + number as u64);
    let bare: Vec<Bare> = LINES.iter().map(|line| bare(&ward, line)).collect();
    let images = tempfile::Builder::new().prefix("fleche-images-").tempdir().unwrap();
    let taken = take(&ward, images.path(), OPTIONS[number], &mut random);
    let mut tally = Tally::default();
    for image in &taken {
        tally.images += 1;
        let mounted = Mounted::new(&image.file, &place(&ward.world), "loop").unwrap();
        let judged = judge(&ward, &bare, image, &mut tally);
        drop(mounted);
        if let Err(why) = judged {
            let kept = std::env::var_os("FLECHE_KEEP").map(PathBuf::from);
            if let Some(kept) = kept {
                let _ = fs::copy(&image.file, kept.join(image.file.file_name().unwrap()));
            }
            println!("FAILED {}: {why}", image.during);
            tally.failures.push(format!("{}: {why}", image.during));
        }
        fs::remove_file(&image.file).unwrap();
    }
    tally
}

/// Where the caches are, and all that is mounted.
fn place(world: &World) -> PathBuf {
    world.home().join(".cache")
}

fn bare(ward: &Ward, line: &[&str]) -> Bare {
    ward.reset();
    let begin = line.iter().position(|word| *word == "--").unwrap() + 1;
    let words = &line[begin..];
    let outcome = ward.world.program(words[0], &words[1..]).run();
    assert_eq!(outcome.code(), 0, "{words:?}: {}", outcome.stderr());
    Bare { outcome, files: ward.files() }
}

/// Runs everything on one file system, and takes images of it meanwhile.
fn take(ward: &Ward, folder: &Path, options: &str, random: &mut Random) -> Vec<Image> {
    let live = folder.join("live");
    make(&live).unwrap();
    ward.reset();
    let _mounted = Mounted::new(&live, &place(&ward.world), options).unwrap();
    let there = place(&ward.world).join("there");
    let mut images = Vec::new();
    let mut promised = BTreeSet::new();
    let mut cut = |during: &str, promised: &BTreeSet<String>, random: &mut Random| {
        write_back(&place(&ward.world), random);
        let file = folder.join(images.len().to_string());
        copy(&live, &file).unwrap();
        images.push(Image { file, during: during.to_owned(), promised: promised.clone() });
    };
    let (mut round, mut until_next) = (0, 0);
    while round < ROUNDS {
        let words: Vec<&str> = match round % 8 {
            2 => UPKEEP[round / 8 % UPKEEP.len()].to_vec(),
            5 => vec!["--cache", there.to_str().unwrap(), "import", "calls.fleche"],
            other => LINES[(other + round / 8) % LINES.len()].to_vec(),
        };
        if round % 8 == 5 {
            let outcome = ward.world.fleche(["export", "calls.fleche"]).run();
            assert_eq!(outcome.code(), 0, "{}", outcome.stderr());
        }
        let mut session = ward.world.fleche(&words);
        let during = words.join(" ");
        let report = injector::run_with(session.command(), &ward.ground(), None, &mut |met: &Met| {
            if met.kind != Kind::Cache || met.effect != Effect::Alters {
                return;
            }
            if until_next > 0 {
                until_next -= 1;
            } else {
                until_next = random.below(GAP);
                cut(&format!("{during}, before {} {}", met.shape.name, met.path), &promised, random);
            }
        });
        assert_eq!(report.status.code(), Some(0), "{words:?}: {}", String::from_utf8_lossy(&report.stderr));
        if round % 8 == 5 {
            promised.extend(ward.keys(&there).unwrap());
            cut(&format!("{during}, at its end"), &promised, random);
            fs::remove_file(ward.world.path("calls.fleche")).unwrap();
        }
        round += 1;
    }
    images
}

/// Lets some of what is not on the disk come there, as the kernel does when it likes.
fn write_back(folder: &Path, random: &mut Random) {
    let all: Vec<PathBuf> = walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| !entry.file_type().is_symlink())
        .map(|entry| entry.into_path())
        .collect();
    match random.below(10) {
        0..3 => {}
        // The journal tells of all names then, but only of this file the bytes are there.
        3..8 => {
            let chosen = &all[random.below(all.len())];
            let _ = File::open(chosen).and_then(|file| file.sync_all());
        }
        _ => {
            let file = File::open(folder).unwrap();
            // SAFETY: no memory is involved.
            unsafe { libc::syncfs(file.as_raw_fd()) };
        }
    }
}

/// Copies what is in a sparse file.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (File::open(from)?, File::create(to)?);
    to.set_len(SIZE)?;
    let mut at = 0_i64;
    loop {
        // SAFETY: no memory is involved.
        let begin = unsafe { libc::lseek(from.as_raw_fd(), at, libc::SEEK_DATA) };
        if begin < 0 {
            return Ok(());
        }
        // SAFETY: no memory is involved.
        let end = unsafe { libc::lseek(from.as_raw_fd(), begin, libc::SEEK_HOLE) };
        let mut bytes = vec![0; (end - begin) as usize];
        from.read_exact_at(&mut bytes, begin as u64)?;
        to.write_all_at(&bytes, begin as u64)?;
        at = end;
    }
}

/// Every command with the cache of an image: right, and the second time a hit.
fn judge(ward: &Ward, bare: &[Bare], image: &Image, tally: &mut Tally) -> Result<(), String> {
    let there = place(&ward.world).join("there");
    for key in &image.promised {
        tally.promised += 1;
        let loaded =
            ward.world.fleche(["--cache".as_ref(), there.as_os_str(), "contains".as_ref(), key.as_ref()]).run();
        if loaded.code() != 0 {
            return Err(format!("the call {key} was on the disk and is lost: {}", loaded.stderr()));
        }
    }
    let executions = || ["tool", "printer"].map(|name| ward.world.executions(name)).iter().sum::<usize>();
    for again in [false, true] {
        for (line, bare) in LINES.iter().zip(bare) {
            ward.reset_work();
            let before = executions();
            let outcome = ward.world.fleche(["-v"].iter().chain(*line)).run();
            let is_hit = outcome.stderr().contains("fleche: hit ");
            match is_hit {
                true => tally.hits += usize::from(!again),
                false => tally.misses += usize::from(!again),
            }
            right(bare, ward, &outcome).map_err(|why| format!("{:?}: {why}", line))?;
            if is_hit && executions() != before {
                return Err(format!("{:?}: a hit that runs", line));
            }
            if again && !is_hit {
                return Err(format!("{:?}: no hit the second time: {}", line, outcome.stderr()));
            }
        }
    }
    let repaired = ward.world.fleche(["verify", "--repair"]).run();
    match repaired.code() {
        0 => {}
        1 => tally.healed += 1,
        code => return Err(format!("verify --repair ends with {code}: {}", repaired.stderr())),
    }
    ward.verified(Path::new("local"))?;
    let asked = ward.world.fleche(["query"]).run();
    if asked.code() == 0 { Ok(()) } else { Err(format!("query ends with {}: {}", asked.code(), asked.stderr())) }
}

fn right(bare: &Bare, ward: &Ward, outcome: &Outcome) -> Result<(), String> {
    let stderr = outcome.stderr();
    let others: String =
        stderr.lines().filter(|line| !line.starts_with("fleche: ")).map(|line| format!("{line}\n")).collect();
    if outcome.status != bare.outcome.status || outcome.stdout != bare.outcome.stdout || others != bare.outcome.stderr()
    {
        return Err(format!("{}, {} bytes: {stderr}", outcome.status, outcome.stdout.len()));
    }
    crate::ward::difference(&bare.files, &ward.files()).map_or(Ok(()), Err)
}
