//! A command under fleche on a terminal: `^C`, `^\`, `^Z`, `fg`, signals, modes and sizes reach it as
//! they reach it bare.
//!
//! Each test plays one scene three times, bare, under `fleche run --mode off` and under `fleche run
//! --pure`, and compares what was on the screen and what became of the terminal. The shell of the scene
//! is `tool shell`: it starts one job as an interactive shell does, says how it was stopped or ended,
//! and continues it when `fg` is typed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::probe;
use crate::world::World;

/// Long enough for every step on a slow machine.
const HANGS: Duration = Duration::from_secs(60);

/// What stands before the command.
const PREFIXES: [&str; 3] = ["", "fleche run --mode off --", "fleche run --pure --"];

const INTERRUPT: &[u8] = b"\x03";
const QUIT: &[u8] = b"\x1c";
const SUSPEND: &[u8] = b"\x1a";

/// A terminal with a shell and its one job.
struct Terminal {
    master: File,
    shell: Child,
    screen: Vec<u8>,
    /// How much of the screen was waited for.
    waited: usize,
    /// What the terminal was set to.
    before: String,
}

/// What a scene left behind.
#[derive(Debug, PartialEq)]
struct Played {
    screen: String,
    modes: [String; 2],
}

impl Terminal {
    /// Starts a shell line on a new terminal, as the leader of its session.
    fn start(world: &World, path: &OsStr, line: &str) -> Terminal {
        let (master, slave) = open().unwrap();
        let before = set_to(&master);
        resize(&master, 33, 99);
        let mut session = world.shell(&format!("umask 022; ulimit -c 0; exec {line}")).env("PATH", path);
        let command = session.command();
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(Stdio::from(slave));
        // SAFETY: both are plain system calls, which may be made between fork and exec.
        unsafe {
            command.pre_exec(|| match libc::setsid() >= 0 && libc::ioctl(0, libc::TIOCSCTTY, 0) == 0 {
                true => Ok(()),
                false => Err(io::Error::last_os_error()),
            })
        };
        let shell = command.spawn().unwrap();
        // The session goes out of scope here, and our copies of the other end with it.
        Terminal { master, shell, screen: Vec::new(), waited: 0, before }
    }

    fn types(&mut self, bytes: &[u8]) {
        self.master.write_all(bytes).unwrap();
    }

    /// Waits until `text` appears after what was waited for before.
    fn shows(&mut self, text: &str) {
        let deadline = Instant::now() + HANGS;
        loop {
            let rest = &self.screen[self.waited..];
            if let Some(at) = rest.windows(text.len()).position(|window| window == text.as_bytes()) {
                self.waited += at + text.len();
                return;
            }
            assert!(self.reads(deadline), "`{text}` does not appear: {}", self.screen.escape_ascii());
        }
    }

    /// Reads what is there; false at the end of everything, or if nothing comes.
    fn reads(&mut self, deadline: Instant) -> bool {
        let mut ready = libc::pollfd { fd: self.master.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        // SAFETY: one entry, which lives as long as the call.
        if unsafe { libc::poll(&mut ready, 1, i32::try_from(left).unwrap()) } <= 0 {
            return false;
        }
        let mut bytes = [0; 4096];
        // A terminal whose other end is closed answers with an error.
        let read = self.master.read(&mut bytes).unwrap_or(0);
        self.screen.extend_from_slice(&bytes[..read]);
        read > 0
    }

    /// The process that the shell started: the command, or fleche.
    fn job(&mut self) -> i32 {
        let text = String::from_utf8_lossy(&self.screen).into_owned();
        let number = text.lines().find_map(|line| line.strip_prefix("job ")).expect("the shell names its job first");
        number.trim().parse().unwrap()
    }

    /// Sends a signal to the job's first process alone.
    fn kill(&mut self, signal: i32) {
        let job = self.job();
        // SAFETY: a plain system call; the shell has not reaped the job yet.
        assert_eq!(unsafe { libc::kill(job, signal) }, 0);
    }

    /// Waits until every process of the job is stopped, or until none is.
    fn becomes(&mut self, state: State) {
        let job = self.job();
        eventually(&format!("the job is not {state:?}"), || {
            let states = states(job);
            match state {
                State::Stopped => !states.is_empty() && states.iter().all(|state| *state == 'T'),
                State::Running => !states.is_empty() && states.iter().all(|state| *state != 'T'),
                State::Gone => states.is_empty(),
            }
        });
    }

    /// All that was shown, but for the number of the job.
    fn ends(&mut self) -> String {
        let deadline = Instant::now() + HANGS;
        while self.reads(deadline) {}
        if Instant::now() >= deadline {
            self.shell.kill().unwrap();
            panic!("it does not end: {}", self.screen.escape_ascii());
        }
        self.shell.wait().unwrap();
        let screen = String::from_utf8_lossy(&self.screen).into_owned();
        screen.lines().filter(|line| !line.starts_with("job ")).map(|line| format!("{line}\n")).collect()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A scene that failed leaves a shell; its job goes with the terminal.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Stopped,
    Running,
    Gone,
}

/// The states of all processes in a group, but for those that are dead already.
fn states(group: i32) -> Vec<char> {
    let stats = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("stat")).ok());
    let fields = stats.filter_map(|stat| {
        let text = String::from_utf8_lossy(&stat).into_owned();
        let rest = text.rsplit_once(") ")?.1.to_owned();
        let mut fields = rest.split(' ');
        let (state, _parent, its_group) = (fields.next()?.chars().next()?, fields.next()?, fields.next()?);
        (its_group == group.to_string() && !"ZX".contains(state)).then_some(state)
    });
    fields.collect()
}

/// Waits for something that nobody announces.
fn eventually(otherwise: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + HANGS;
    while !is_so() {
        assert!(Instant::now() < deadline, "{otherwise}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A new terminal that neither echoes nor changes output; no descriptor of it reaches other tests' children.
fn open() -> io::Result<(File, File)> {
    // SAFETY: plain system calls; both descriptors are new and owned from here on.
    unsafe {
        let master = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        if master < 0 || libc::grantpt(master) != 0 || libc::unlockpt(master) != 0 {
            return Err(io::Error::last_os_error());
        }
        let master = File::from_raw_fd(master);
        let mut name = [0; 128];
        if libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr(), name.len()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let slave = libc::open(name.as_ptr(), libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        if slave < 0 {
            return Err(io::Error::last_os_error());
        }
        let slave = File::from_raw_fd(slave);
        let mut modes = modes(&slave);
        modes.c_lflag &= !(libc::ECHO | libc::ECHOE | libc::ECHOK | libc::ECHOCTL);
        // Without this `^C` throws away what was just printed, if it was not read yet.
        modes.c_lflag |= libc::NOFLSH;
        modes.c_oflag &= !libc::OPOST;
        if libc::tcsetattr(slave.as_raw_fd(), libc::TCSANOW, &modes) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((master, slave))
    }
}

fn modes(terminal: &File) -> libc::termios {
    // SAFETY: all zeros is a termios, and the call fills it.
    unsafe {
        let mut modes: libc::termios = mem::zeroed();
        assert_eq!(libc::tcgetattr(terminal.as_raw_fd(), &mut modes), 0);
        modes
    }
}

fn resize(terminal: &File, rows: u16, columns: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the size lives as long as the call.
    assert_eq!(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &size) }, 0);
}

/// What a terminal is set to.
fn set_to(terminal: &File) -> String {
    let modes = modes(terminal);
    format!("{:x} {:x} {:x} {:x} {:?}", modes.c_iflag, modes.c_oflag, modes.c_cflag, modes.c_lflag, modes.c_cc)
}

/// Plays a scene with `words` as the job of a shell, bare and under fleche, and returns the bare screen.
fn the_same_scene(words: &str, scene: impl Fn(&mut Terminal)) -> String {
    the_same_play(&format!("tool shell {words}"), scene)
}

fn the_same_play(line: &str, scene: impl Fn(&mut Terminal)) -> String {
    let mut bare: Option<Played> = None;
    for prefix in PREFIXES {
        let world = World::new();
        let path = probe::install(&world);
        let mut terminal = Terminal::start(&world, &path, &line.replace("{}", prefix));
        scene(&mut terminal);
        let screen = terminal.ends();
        let played = Played { screen, modes: [terminal.before.clone(), set_to(&terminal.master)] };
        match &bare {
            None => bare = Some(played),
            Some(bare) => assert_eq!(&played, bare, "`{prefix}` plays another scene with `{line}`"),
        }
    }
    bare.unwrap().screen
}

/// What a shell line shows on a terminal that is 99 columns wide.
pub fn shown(world: &World, line: &str) -> String {
    let folder = Path::new(env!("CARGO_BIN_EXE_fleche")).parent().unwrap();
    let path = std::env::join_paths([folder, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    Terminal::start(world, &path, line).ends()
}

#[test]
fn a_command_sees_its_terminal() {
    the_same_scene("{} probe terminal", |_| {});
}

#[test]
fn what_is_typed_is_the_commands() {
    let screen = the_same_scene("{} probe until-end", |terminal| {
        terminal.shows("ready\n");
        terminal.types(b"one\n");
        terminal.shows("read one\n");
        terminal.types(b"two\nend\n");
    });
    assert_eq!(screen, "ready\nread one\nread two\nexited 0\n");
}

#[test]
fn what_is_typed_counts_where_it_is_declared_to_be_input() {
    let world = World::new();
    let path = probe::install(&world);
    for (typed, executions) in [("one", 1), ("two", 2), ("one", 2)] {
        let mut terminal = Terminal::start(&world, &path, "fleche run --pure --stdin -- probe cat");
        // It is read up to the end of file that ^D stands for.
        terminal.types(format!("{typed}\n\x04").as_bytes());
        assert_eq!(terminal.ends(), format!("{typed}\n"));
        assert_eq!(probe::executions(&world), executions, "{typed}");
    }
}

#[test]
fn output_on_a_terminal_keeps_its_order_when_it_is_replayed() {
    let world = World::new();
    let path = probe::install(&world);
    let screens: Vec<String> = ["", "fleche run --pure --", "fleche run --pure --"]
        .iter()
        .map(|prefix| Terminal::start(&world, &path, &format!("{prefix} probe mix 300")).ends())
        .collect();
    assert_eq!(screens[0], screens[1]);
    assert_eq!(screens[0], screens[2]);
    assert_eq!(probe::executions(&world), 2, "the third was a replay");
}

#[test]
fn interrupt_ends_the_command_and_fleche_alike() {
    let screen = the_same_scene("{} probe until-end", |terminal| {
        terminal.shows("ready\n");
        terminal.types(INTERRUPT);
    });
    assert_eq!(screen, "ready\nkilled 2\n");
}

#[test]
fn quit_ends_the_command_and_fleche_alike() {
    let screen = the_same_scene("{} probe until-end", |terminal| {
        terminal.shows("ready\n");
        terminal.types(QUIT);
    });
    assert_eq!(screen, "ready\nkilled 3\n");
}

#[test]
fn a_command_that_handles_interrupt_goes_on() {
    let screen = the_same_scene("{} probe until-end 2", |terminal| {
        terminal.shows("ready\n");
        terminal.types(INTERRUPT);
        terminal.shows("caught 02\n");
        terminal.types(INTERRUPT);
        terminal.shows("caught 02\n");
        terminal.types(b"end\n");
    });
    assert_eq!(screen, "ready\ncaught 02\ncaught 02\nsignal 2: 2 times\nexited 0\n");
}

#[test]
fn a_command_that_ends_by_itself_on_interrupt_has_its_own_status() {
    let screen = the_same_scene("{} probe leave-with 5 2", |terminal| {
        terminal.shows("ready\n");
        terminal.types(INTERRUPT);
    });
    assert_eq!(screen, "ready\ncaught 02\nexited 5\n");
}

#[test]
fn a_command_that_ignores_interrupt_goes_on() {
    the_same_scene("tool with ignore=2 ignore=3 -- {} probe until-end", |terminal| {
        terminal.shows("ready\n");
        terminal.types(INTERRUPT);
        terminal.types(QUIT);
        terminal.types(b"end\n");
    });
}

#[test]
fn suspend_stops_the_job_and_fg_continues_it() {
    let screen = the_same_scene("{} probe until-end", |terminal| {
        terminal.shows("ready\n");
        for _ in 0..2 {
            terminal.types(SUSPEND);
            terminal.shows("stopped 20\n");
            terminal.becomes(State::Stopped);
            terminal.types(b"fg\n");
            terminal.becomes(State::Running);
            terminal.types(b"word\n");
            terminal.shows("read word\n");
        }
        terminal.types(b"end\n");
    });
    assert_eq!(screen, "ready\nstopped 20\nread word\nstopped 20\nread word\nexited 0\n");
}

#[test]
fn suspend_then_interrupt_ends_it() {
    let screen = the_same_scene("{} probe until-end", |terminal| {
        terminal.shows("ready\n");
        terminal.types(SUSPEND);
        terminal.shows("stopped 20\n");
        terminal.becomes(State::Stopped);
        terminal.types(b"fg\n");
        terminal.becomes(State::Running);
        terminal.types(INTERRUPT);
    });
    assert_eq!(screen, "ready\nstopped 20\nkilled 2\n");
}

#[test]
fn a_job_that_is_told_that_it_was_continued_hears_it_once() {
    let screen = the_same_scene("{} probe until-end 18", |terminal| {
        terminal.shows("ready\n");
        terminal.types(SUSPEND);
        terminal.shows("stopped 20\n");
        terminal.becomes(State::Stopped);
        terminal.types(b"fg\n");
        terminal.shows("caught 18\n");
        terminal.types(b"word\n");
        terminal.shows("read word\n");
        terminal.types(b"end\n");
    });
    assert_eq!(screen, "ready\nstopped 20\ncaught 18\nread word\nsignal 18: 1 times\nexited 0\n");
}

#[test]
fn a_command_that_handles_suspend_is_not_stopped() {
    let screen = the_same_scene("{} probe until-end 20", |terminal| {
        terminal.shows("ready\n");
        terminal.types(SUSPEND);
        terminal.shows("caught 20\n");
        terminal.types(b"end\n");
    });
    assert_eq!(screen, "ready\ncaught 20\nsignal 20: 1 times\nexited 0\n");
}

#[test]
fn a_command_that_stops_itself_stops_the_job() {
    for signal in ["19", "20"] {
        let screen = the_same_scene(&format!("{{}} probe stop-itself {signal}"), |terminal| {
            terminal.shows(&format!("stopped {signal}\n"));
            terminal.becomes(State::Stopped);
            terminal.types(b"fg\n");
        });
        assert_eq!(screen, format!("ready\nstopped {signal}\nback\nexited 0\n"));
    }
}

#[test]
fn a_background_job_that_reads_is_stopped_until_fg() {
    let screen = the_same_scene("--background {} probe until-end", |terminal| {
        terminal.shows("stopped 21\n");
        terminal.becomes(State::Stopped);
        terminal.types(b"fg\n");
        terminal.types(b"word\n");
        terminal.shows("read word\n");
        terminal.types(b"end\n");
    });
    assert_eq!(screen, "ready\nstopped 21\nread word\nexited 0\n");
}

#[test]
fn a_background_job_that_may_not_write_is_stopped_until_fg() {
    let screen = the_same_scene("--background --tostop {} probe print hello", |terminal| {
        terminal.shows("stopped 22\n");
        terminal.types(b"fg\n");
    });
    assert_eq!(screen, "stopped 22\nhelloexited 0\n");
}

#[test]
fn a_background_job_does_not_hear_what_is_typed() {
    let screen = the_same_scene("--background {} probe until-signal 2 3 20 15", |terminal| {
        terminal.shows("ready\n");
        for key in [INTERRUPT, QUIT, SUSPEND] {
            terminal.types(key);
        }
        terminal.kill(libc::SIGTERM);
    });
    assert_eq!(screen, "ready\ncaught 15\nsignal 15: 1 times\nexited 0\n");
}

#[test]
fn a_signal_to_fleche_alone_reaches_the_command_once() {
    for signal in [1, 2, 3, 10, 12, 14, 15, 23, 28, 34, 64] {
        // USR1 comes last and tells that nothing of the signal is still on its way.
        let last = if signal == 10 { 12 } else { 10 };
        let screen = the_same_scene(&format!("{{}} probe until-signal {signal} {last}"), |terminal| {
            terminal.shows("ready\n");
            terminal.kill(signal);
            terminal.shows(&format!("caught {signal:02}\n"));
            terminal.kill(last);
        });
        assert!(screen.contains(&format!("signal {signal}: 1 times\n")) && screen.ends_with("exited 0\n"), "{screen}");
    }
}

#[test]
fn a_signal_to_the_whole_job_ends_it() {
    // As `kill %1` sends it. A command that handles it may hear it twice, from the sender and from fleche:
    // a signal to the group cannot be told from one to fleche alone.
    for signal in [1, 2, 15] {
        let screen = the_same_scene("{} probe until-end", |terminal| {
            terminal.shows("ready\n");
            let job = terminal.job();
            // SAFETY: a plain system call; the group is alive, its command waits.
            assert_eq!(unsafe { libc::kill(-job, signal) }, 0);
        });
        assert_eq!(screen, format!("ready\nkilled {signal}\n"));
    }
}

#[test]
fn a_signal_to_fleche_alone_ends_both() {
    for signal in [1, 2, 3, 6, 9, 10, 14, 15] {
        let screen = the_same_scene("{} probe until-end", |terminal| {
            terminal.shows("ready\n");
            terminal.kill(signal);
            terminal.shows("killed");
            terminal.becomes(State::Gone);
        });
        assert_eq!(screen, format!("ready\nkilled {signal}\n"));
    }
}

#[test]
fn a_second_interrupt_is_the_commands_business_too() {
    let screen = the_same_scene("{} probe until-signal 2 15", |terminal| {
        terminal.shows("ready\n");
        for _ in 0..5 {
            terminal.types(INTERRUPT);
            terminal.shows("caught 02\n");
        }
        terminal.kill(libc::SIGTERM);
    });
    assert!(screen.ends_with("signal 2: 5 times\nsignal 15: 1 times\nexited 0\n"), "{screen}");
}

#[test]
fn kill_stop_and_kill_cont_leave_the_output_whole() {
    let screen = the_same_scene("{} probe until-signal 10 12", |terminal| {
        terminal.shows("ready\n");
        terminal.kill(libc::SIGSTOP);
        terminal.shows("stopped 19\n");
        terminal.types(b"fg\n");
        terminal.becomes(State::Running);
        terminal.kill(libc::SIGUSR1);
        terminal.shows("caught 10\n");
        terminal.kill(libc::SIGUSR2);
    });
    assert_eq!(screen, "ready\nstopped 19\ncaught 10\ncaught 12\nsignal 10: 1 times\nsignal 12: 1 times\nexited 0\n");
}

#[test]
fn kill_tstp_stops_the_command_as_well() {
    let screen = the_same_scene("{} probe until-signal 10", |terminal| {
        terminal.shows("ready\n");
        terminal.kill(libc::SIGTSTP);
        terminal.shows("stopped 20\n");
        terminal.becomes(State::Stopped);
        terminal.types(b"fg\n");
        terminal.becomes(State::Running);
        terminal.kill(libc::SIGUSR1);
    });
    assert_eq!(screen, "ready\nstopped 20\ncaught 10\nsignal 10: 1 times\nexited 0\n");
}

#[test]
fn a_new_size_is_heard_once() {
    let screen = the_same_scene("{} probe until-end 28", |terminal| {
        terminal.shows("ready\n");
        resize(&terminal.master, 50, 132);
        terminal.shows("caught 28\n");
        terminal.types(b"end\n");
    });
    assert_eq!(screen, "ready\ncaught 28\nsignal 28: 1 times\nexited 0\n");
}

#[test]
fn raw_mode_is_left_alone() {
    let screen = the_same_scene("{} probe raw", |terminal| {
        terminal.shows("ready\n");
        for byte in [3_u8, 26, 28, 13, 255] {
            terminal.types(&[byte]);
            terminal.shows(&format!("byte {byte}\n"));
        }
        terminal.types(b"q");
    });
    assert!(screen.ends_with("byte 113\nexited 0\n"), "{screen}");
}

#[test]
fn raw_mode_stays_when_the_job_is_killed() {
    let screen = the_same_scene("{} probe raw", |terminal| {
        terminal.shows("ready\n");
        terminal.kill(libc::SIGKILL);
        terminal.shows("killed 9\n");
        terminal.becomes(State::Gone);
    });
    assert_eq!(screen, "ready\nkilled 9\n");
}

#[test]
fn a_terminal_that_goes_away_hangs_the_command_up() {
    // As a shell's job, and as the leader of the session, which is what a terminal window's own command is.
    for line in ["tool shell {} probe hung-up ../hung-up", "{} probe hung-up ../hung-up"] {
        for prefix in PREFIXES {
            let world = World::new();
            let path = probe::install(&world);
            let mut terminal = Terminal::start(&world, &path, &line.replace("{}", prefix));
            terminal.shows("ready\n");
            let job =
                if line.starts_with("tool") { terminal.job() } else { i32::try_from(terminal.shell.id()).unwrap() };
            drop(mem::replace(&mut terminal.master, File::open("/dev/null").unwrap()));
            eventually(&format!("`{line}` with `{prefix}` was not hung up"), || {
                fs::read(world.root().join("hung-up")).is_ok_and(|said| said == b"hung up\n")
            });
            eventually("somebody stays behind", || states(job).is_empty());
        }
    }
}

#[test]
fn a_signal_from_outside_its_container_reaches_the_command_once() {
    let world = World::new();
    let path = probe::install(&world);
    if world.shell("tool container true").env("PATH", path).run().code() != 0 {
        // Only root may make one, and not everywhere.
        return;
    }
    for signal in [1, 2, 10, 15, 34] {
        let screen = the_same_play(&format!("tool container {{}} probe until-signal {signal} 12"), |terminal| {
            terminal.shows("ready\n");
            terminal.kill(signal);
            terminal.shows(&format!("caught {signal:02}\n"));
            terminal.kill(libc::SIGUSR2);
        });
        assert!(screen.contains(&format!("signal {signal}: 1 times\n")), "{screen}");
    }
}
