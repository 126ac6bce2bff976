//! Environment variables that differ from session to session and run to run, and mean nothing to a result.
//!
//! A name belongs here only if no ordinary program makes other output of it: a wrong entry is a wrong
//! replay, a missing one only a miss that `--ignore-env` mends. TERM, COLUMNS, LINES, LANG, HOME, USER,
//! DISPLAY and MAKELEVEL are therefore not here, nor is anything that names a commit, a branch or a
//! version, as builds put these into what they make. The numbers of CI runs are the compromise: with
//! them no run of a CI would ever find what another recorded. A build that prints its number says
//! `--env GITHUB_RUN_NUMBER`. Jenkins' BUILD_ID, BUILD_NUMBER and BUILD_TAG are names that anybody gives to a version
//! and count: there it takes `--ignore-env 'BUILD_*'`. OLDPWD is here although `cd -` reads it: it differs
//! after every `cd`, and a command that begins in the folder before last is none that anybody caches.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Counts in every command digest, so that calls recorded under another list are not found under this
/// one. To be raised with every change of [`NAMES`].
pub const VERSION: u32 = 2;

/// The names, sorted by their bytes; one that ends in `*` stands for all that begin with what precedes it.
pub const NAMES: &[&str] = &[
    // Azure Pipelines: the run, the job, the agent.
    "AGENT_ID",
    "AGENT_JOBNAME",
    "AGENT_NAME",
    // AppVeyor.
    "APPVEYOR_BUILD_ID",
    "APPVEYOR_BUILD_NUMBER",
    "APPVEYOR_JOB_ID",
    // Bitbucket.
    "BITBUCKET_BUILD_NUMBER",
    "BITBUCKET_PIPELINE_UUID",
    "BITBUCKET_STEP_RUN_NUMBER",
    "BITBUCKET_STEP_UUID",
    // Buildkite: the build, the job, the agent and its session's token.
    "BUILDKITE_AGENT_ACCESS_TOKEN",
    "BUILDKITE_AGENT_ID",
    "BUILDKITE_AGENT_NAME",
    "BUILDKITE_AGENT_PID",
    "BUILDKITE_BUILD_ID",
    "BUILDKITE_BUILD_NUMBER",
    "BUILDKITE_BUILD_URL",
    "BUILDKITE_JOB_ID",
    "BUILDKITE_RETRY_COUNT",
    "BUILDKITE_STEP_ID",
    // Jenkins, and Azure Pipelines.
    "BUILD_BUILDID",
    "BUILD_BUILDNUMBER",
    "BUILD_BUILDURI",
    "BUILD_DISPLAY_NAME",
    "BUILD_URL",
    // Cargo's jobserver.
    "CARGO_MAKEFLAGS",
    // CircleCI.
    "CIRCLE_BUILD_NUM",
    "CIRCLE_BUILD_URL",
    "CIRCLE_PIPELINE_ID",
    "CIRCLE_WORKFLOW_ID",
    "CIRCLE_WORKFLOW_JOB_ID",
    "CIRCLE_WORKFLOW_WORKSPACE_ID",
    // Cirrus CI.
    "CIRRUS_BUILD_ID",
    "CIRRUS_TASK_ID",
    // GitLab: the job, the pipeline, the runner, their tokens.
    "CI_CONCURRENT_ID",
    "CI_CONCURRENT_PROJECT_ID",
    "CI_JOB_ID",
    "CI_JOB_JWT",
    "CI_JOB_JWT_V1",
    "CI_JOB_JWT_V2",
    "CI_JOB_STARTED_AT",
    "CI_JOB_TOKEN",
    "CI_JOB_URL",
    "CI_PIPELINE_CREATED_AT",
    "CI_PIPELINE_ID",
    "CI_PIPELINE_IID",
    "CI_PIPELINE_URL",
    "CI_RUNNER_DESCRIPTION",
    "CI_RUNNER_ID",
    "CI_RUNNER_SHORT_TOKEN",
    // CodeBuild.
    "CODEBUILD_BUILD_ARN",
    "CODEBUILD_BUILD_ID",
    "CODEBUILD_BUILD_NUMBER",
    "CODEBUILD_LOG_PATH",
    "CODEBUILD_START_TIME",
    // The terminal emulator's way to say that it shows colours is COLORTERM, which counts.
    "DBUS_SESSION_BUS_ADDRESS",
    "DBUS_SESSION_BUS_PID",
    "DBUS_SESSION_BUS_WINDOWID",
    "DBUS_STARTER_ADDRESS",
    "DBUS_STARTER_BUS_TYPE",
    "DESKTOP_STARTUP_ID",
    // Drone.
    "DRONE_BUILD_CREATED",
    "DRONE_BUILD_FINISHED",
    "DRONE_BUILD_LINK",
    "DRONE_BUILD_NUMBER",
    "DRONE_BUILD_STARTED",
    "DRONE_STAGE_STARTED",
    "DRONE_STEP_NUMBER",
    // Jenkins: which of a node's executors.
    "EXECUTOR_NUMBER",
    // GitHub Actions: the run. Not the files of one step (GITHUB_OUTPUT, ...): commands write to them.
    "GITHUB_ACTION",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_RUN_ID",
    "GITHUB_RUN_NUMBER",
    // GNOME, GnuPG.
    "GNOME_KEYRING_CONTROL",
    "GNOME_KEYRING_PID",
    "GNOME_TERMINAL_SCREEN",
    "GNOME_TERMINAL_SERVICE",
    "GPG_AGENT_INFO",
    "GPG_TTY",
    // Jenkins again.
    "HUDSON_COOKIE",
    // systemd.
    "INVOCATION_ID",
    "ITERM_SESSION_ID",
    "JENKINS_NODE_COOKIE",
    "JENKINS_SERVER_COOKIE",
    "JOURNAL_STREAM",
    "KITTY_LISTEN_ON",
    "KITTY_PID",
    "KITTY_PUBLIC_KEY",
    "KITTY_WINDOW_ID",
    "KONSOLE_DBUS_SERVICE",
    "KONSOLE_DBUS_SESSION",
    "KONSOLE_DBUS_WINDOW",
    // Socket activation is tied to one process by LISTEN_PID.
    "LISTEN_PID",
    "MAIL",
    "MAILCHECK",
    "MAINPID",
    // GNU make: whether its own streams are terminals. MAKEFLAGS and MFLAGS count without their jobserver.
    "MAKE_TERMERR",
    "MAKE_TERMOUT",
    "MANAGERPID",
    "MANAGERPIDFDID",
    "NOTIFY_SOCKET",
    "OLDPWD",
    // GitHub Actions' runner.
    "RUNNER_TRACKING_ID",
    // Semaphore CI.
    "SEMAPHORE_JOB_ID",
    "SEMAPHORE_WORKFLOW_ID",
    // Session managers.
    "SESSION_MANAGER",
    "SHELL_SESSION_ID",
    "SHLVL",
    // ssh.
    "SSH_AGENT_PID",
    "SSH_AUTH_SOCK",
    "SSH_CLIENT",
    "SSH_CONNECTION",
    "SSH_TTY",
    // screen.
    "STY",
    "SYSTEMD_EXEC_PID",
    "SYSTEM_JOBATTEMPT",
    "SYSTEM_JOBID",
    "SYSTEM_PLANID",
    "SYSTEM_TIMELINEID",
    "TERMINATOR_DBUS_NAME",
    "TERMINATOR_DBUS_PATH",
    "TERMINATOR_UUID",
    "TERM_SESSION_ID",
    "TILIX_ID",
    // tmux.
    "TMUX",
    "TMUX_PANE",
    // Travis.
    "TRAVIS_BUILD_ID",
    "TRAVIS_BUILD_NUMBER",
    "TRAVIS_BUILD_WEB_URL",
    "TRAVIS_JOB_ID",
    "TRAVIS_JOB_NUMBER",
    "TRAVIS_JOB_WEB_URL",
    "VTE_VERSION",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "WEZTERM_PANE",
    "WEZTERM_UNIX_SOCKET",
    "WINDOWID",
    "WT_SESSION",
    // The X server's key to one session, and what login managers add.
    "XAUTHORITY",
    "XDG_ACTIVATION_TOKEN",
    "XDG_SEAT",
    "XDG_SEAT_PATH",
    "XDG_SESSION_COOKIE",
    "XDG_SESSION_ID",
    "XDG_SESSION_PATH",
    "XDG_VTNR",
    "XTERM_SHELL",
    "XTERM_VERSION",
    "ZELLIJ",
    "ZELLIJ_PANE_ID",
    "ZELLIJ_SESSION_NAME",
    // The path of the program that a shell starts.
    "_",
];

/// Whether the variable `name` is on the list.
pub fn is_volatile(name: &OsStr) -> bool {
    is_listed(name.as_bytes(), NAMES)
}

/// Looks for `name` in a sorted list whose names may end in `*`, but not begin with it.
fn is_listed(name: &[u8], sorted: &[&str]) -> bool {
    let first = name.first();
    let start = sorted.partition_point(|listed| listed.as_bytes().first() < first);
    sorted[start..].iter().take_while(|listed| listed.as_bytes().first() == first).any(|listed| {
        match listed.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix.as_bytes()),
            None => listed.as_bytes() == name,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        for pair in NAMES.windows(2) {
            assert!(pair[0].as_bytes() < pair[1].as_bytes(), "{} before {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn every_name_is_found() {
        assert!(NAMES.iter().all(|name| is_volatile(OsStr::new(name))));
    }

    #[test]
    fn what_programs_read_is_not_volatile() {
        for name in [
            "TERM",
            "COLUMNS",
            "LINES",
            "LANG",
            "HOME",
            "USER",
            "MAKELEVEL",
            "MAKEFLAGS",
            "PWD",
            "PATH",
            "",
            "SHLVL2",
            "TMU",
        ] {
            assert!(!is_volatile(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn a_star_stands_for_any_end() {
        let list = ["AB", "SSH_*", "SSH_A", "Z"];
        for (name, listed) in
            [("SSH_", true), ("SSH_B", true), ("SSH", false), ("AB", true), ("ABC", false), ("Z", true)]
        {
            assert_eq!(is_listed(name.as_bytes(), &list), listed, "{name}");
        }
    }
}
