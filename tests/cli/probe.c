/* The program that tests run bare and under fleche: it does one thing and says exactly what it saw.

   As `probe` it leaves a mark for each of its executions; as `tool` it does not, so that a test can
   use it around the command: `tool with SETTING... -- COMMAND` changes the surroundings and becomes
   the command, `tool report COMMAND` says how it ended, `tool shell COMMAND` is a job control shell. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* ---- words ---- */

static long number(const char *word) { return strtol(word, NULL, 0); }

/* Writes all of it, or says why not. */
static int put(int fd, const void *bytes, size_t length) {
    const char *rest = bytes;
    while (length > 0) {
        ssize_t written = write(fd, rest, length);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && errno == EAGAIN) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            poll(&ready, 1, -1);
            continue;
        }
        if (written < 0) return errno;
        rest += written;
        length -= written;
    }
    return 0;
}

/* printf to a descriptor, without a buffer between. */
__attribute__((format(printf, 2, 3))) static void say(int fd, const char *format, ...) {
    char line[4096];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    int error = put(fd, line, length);
    if (error) _exit(error);
}

/* A byte that depends on its place, NUL among them. */
static unsigned char byte_at(uint64_t place) { return (place * 2654435761u) >> 13; }

/* ---- what `probe` does ---- */

static int out(int fd, size_t length) {
    char *bytes = malloc(length + 1);
    for (size_t i = 0; i < length; i++) bytes[i] = byte_at(i);
    return put(fd, bytes, length);
}

static int big(uint64_t length) {
    size_t block = 1 << 20;
    uint64_t *bytes = malloc(block);
    for (size_t i = 0; i < block / 8; i++) bytes[i] = i * 0x9e3779b97f4a7c15u;
    for (uint64_t sent = 0; sent < length; sent += block) {
        bytes[0] = sent;
        int error = put(1, bytes, block);
        if (error) return error;
    }
    return 0;
}

static int hash(void) {
    size_t block = 1 << 20;
    uint64_t *bytes = malloc(block), length = 0, state = 1469598103934665603u;
    for (;;) {
        size_t filled = 0;
        while (filled < block) {
            ssize_t got = read(0, (char *)bytes + filled, block - filled);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) return errno;
            if (got == 0) break;
            filled += got;
        }
        memset((char *)bytes + filled, 0, (8 - filled % 8) % 8);
        for (size_t i = 0; i < (filled + 7) / 8; i++) state = (state ^ bytes[i]) * 1099511628211u;
        length += filled;
        if (filled < block) break;
    }
    say(1, "%llu bytes, %016llx\n", (unsigned long long)length, (unsigned long long)state);
    return 0;
}

static int drip(size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = byte_at(i);
        int error = put(1, &byte, 1);
        if (error) return error;
    }
    return 0;
}

/* Chunks of many lengths on both streams, in an order that looks random and never changes. */
static int mix(size_t chunks) {
    uint32_t state = 1;
    char chunk[512];
    for (size_t i = 0; i < chunks; i++) {
        state = state * 1664525u + 1013904223u;
        int fd = 1 + (state >> 31);
        int length = snprintf(chunk, sizeof chunk, "%c%zu:", fd == 1 ? 'o' : 'e', i);
        size_t fill = (state >> 20) % 300;
        memset(chunk + length, 'a' + i % 26, fill);
        chunk[length + fill] = '\n';
        int error = put(fd, chunk, length + fill + 1);
        if (error) return error;
    }
    return 0;
}

static int lines(size_t count) {
    for (size_t i = 1; i <= count; i++) {
        char line[32];
        int error = put(1, line, snprintf(line, sizeof line, "%zu\n", i));
        if (error) {
            dprintf(2, "line: %s\n", strerror(error));
            return 9;
        }
    }
    return 0;
}

/* Which descriptors are open; of the standard ones that fleche may put pipes in place of, only that. */
static int fds(const char *name) {
    char list[65536];
    size_t length = 0;
    for (int fd = 0; fd < 1024; fd++) {
        struct stat what;
        if (fstat(fd, &what) != 0) continue;
        length += sprintf(list + length, "%d", fd);
        if (fd != 1 && fd != 2) {
            length += sprintf(list + length, " type %o flags %o", what.st_mode & S_IFMT, fcntl(fd, F_GETFL));
        }
        length += sprintf(list + length, "\n");
    }
    int to = strcmp(name, "-") == 0 ? 1 : open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    return put(to, list, length);
}

static int signals(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[512];
    while (fgets(line, sizeof line, status)) {
        const char *names[] = {"Umask:", "Sig", "Shd", "Cap", "NoNewPrivs:", "Seccomp", "Uid:", "Gid:", "Groups:",
                               "Cpus_allowed:", "Threads:"};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            if (strncmp(line, names[i], strlen(names[i])) == 0 && strncmp(line, "SigQ:", 5) != 0) say(1, "%s", line);
        }
    }
    return 0;
}

static int limits(void) {
    for (int which = 0; which < RLIM_NLIMITS; which++) {
        struct rlimit limit;
        getrlimit(which, &limit);
        say(1, "%d: %lld %lld\n", which, (long long)limit.rlim_cur, (long long)limit.rlim_max);
    }
    return 0;
}

static void file(const char *path) {
    char content[512];
    int fd = open(path, O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, content, sizeof content - 1);
    say(1, "%s: %.*s\n", path, length < 0 ? 0 : (int)length, content);
    if (fd >= 0) close(fd);
}

static int surroundings(void) {
    cpu_set_t cpus;
    sched_getaffinity(0, sizeof cpus, &cpus);
    mode_t mask = umask(0);
    umask(mask);
    char *folder = getcwd(NULL, 0);
    say(1, "nice %d, scheduler %d, io priority %ld, cpus %d\n", getpriority(PRIO_PROCESS, 0), sched_getscheduler(0),
        syscall(SYS_ioprio_get, 1, 0), CPU_COUNT(&cpus));
    say(1, "umask %03o, personality %x, no new privileges %d\n", mask, personality(0xffffffff),
        prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    say(1, "timer slack %d, secure bits %d\n", prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0),
        prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    say(1, "folder %s\n", folder ? folder : "is gone");
    say(1, "users %d %d, groups %d %d\n", getuid(), geteuid(), getgid(), getegid());
    file("/proc/self/oom_score_adj");
    file("/proc/self/cgroup");
    return 0;
}

/* Whether it is in the group and session of the process that LEADER names. */
static int group(void) {
    pid_t leader = number(getenv("LEADER"));
    say(1, "group %d, session %d\n", getpgrp() == leader, getsid(0) == getsid(leader));
    return 0;
}

static int args(char **words) {
    for (int i = 0; words[i]; i++) {
        size_t length = strlen(words[i]);
        say(1, "%d: %zu ", i, length);
        put(1, words[i], length);
        put(1, "\n", 1);
    }
    return 0;
}

static int entries(void) {
    for (char **entry = environ; *entry; entry++) {
        size_t length = strlen(*entry);
        say(1, "%zu ", length);
        put(1, *entry, length);
        put(1, "\n", 1);
    }
    return 0;
}

/* A line of standard input and not a byte more. */
static int line(void) {
    char byte;
    while (read(0, &byte, 1) == 1) {
        put(1, &byte, 1);
        if (byte == '\n') return 0;
    }
    return 1;
}

static int cat(void) {
    char bytes[65536];
    for (;;) {
        ssize_t got = read(0, bytes, sizeof bytes);
        if (got < 0) return errno;
        if (got == 0) return 0;
        int error = put(1, bytes, got);
        if (error) return error;
    }
}

static int print(char **words) {
    int error = put(1, words[0], strlen(words[0]));
    if (error) return error;
    error = words[1] ? put(2, words[1], strlen(words[1])) : 0;
    return error ? 100 + error : 0;
}

static int create(const char *name, mode_t mode, const char *text) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, mode);
    return fd < 0 ? errno : put(fd, text, strlen(text));
}

static int fill(const char *name, size_t length) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    return fd < 0 ? errno : out(fd, length);
}

/* As `tail -f` does: ends when nobody reads its output any more, without having written a byte. */
static int until_left(int fd) {
    struct pollfd left = {.fd = fd, .events = 0};
    while (poll(&left, 1, -1) < 0) {}
    return left.revents & POLLERR ? 4 : 5;
}

/* Prints, ends, and leaves a process behind that prints once somebody opens the gate. */
static int leave_behind(const char *gate, size_t length) {
    if (fork() == 0) {
        int opened = open(gate, O_RDONLY);
        if (opened < 0) _exit(1);
        put(2, "late trouble\n", 13);
        put(1, "late\n", 5);
        out(1, length);
        _exit(0);
    }
    return put(1, "early\n", 6);
}

/* What it finds at descriptor 1: a regular file with its size and where the next byte goes, or something else. */
static int place(void) {
    struct stat found;
    if (fstat(1, &found)) return errno;
    long long at = lseek(1, 0, SEEK_CUR);
    if (!S_ISREG(found.st_mode)) say(1, "no file\n");
    else say(1, "a file of %lld bytes, at %lld\n", (long long)found.st_size, at);
    return 0;
}

/* Writes, goes back, writes over that, and goes to the end: what only a file can take. */
static int rewrite(void) {
    int error = put(1, "first\nsecond\n", 13);
    if (error) return error;
    if (lseek(1, 0, SEEK_SET) != 0) return errno;
    error = put(1, "FIRST", 5);
    return error ? error : lseek(1, 0, SEEK_END) != 13;
}

/* Writes 100 bytes and gives the file another length. */
static int resize(off_t length) {
    int error = out(1, 100);
    return error || !ftruncate(1, length) ? error : errno;
}

/* ---- what `probe` does on a terminal ---- */

static volatile sig_atomic_t caught[65];
static int leave_with = -1, last_signal;

static void catch(int signal) {
    int error = errno;
    char text[] = "caught 00\n";
    text[7] = '0' + signal / 10;
    text[8] = '0' + signal % 10;
    caught[signal]++;
    put(1, text, sizeof text - 1);
    if (leave_with >= 0) _exit(leave_with);
    errno = error;
}

static void watch_for(char **words) {
    struct sigaction action = {.sa_handler = catch};
    sigfillset(&action.sa_mask);
    for (; *words; words++) sigaction(last_signal = number(*words), &action, NULL);
}

static int total(void) {
    for (int signal = 1; signal < 65; signal++) {
        if (caught[signal]) say(1, "signal %d: %d times\n", signal, caught[signal]);
    }
    return 0;
}

/* Reads lines until `end`. */
static int until_end(void) {
    say(1, "ready\n");
    char text[128];
    size_t length = 0;
    while (length < sizeof text) {
        ssize_t got = read(0, text + length, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno;
        if (got == 0) return 8;
        if (text[length++] != '\n') continue;
        if (length == 4 && memcmp(text, "end\n", 4) == 0) return total();
        say(1, "read %.*s", (int)length, text);
        length = 0;
    }
    return 7;
}

/* Reads nothing; ends with the last of the signals. */
static int until_signal(void) {
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    say(1, "ready\n");
    while (!caught[last_signal]) sigsuspend(&before);
    return total();
}

static int hung_up(const char *name) {
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    sigprocmask(SIG_BLOCK, &hangup, NULL);
    say(1, "ready\n");
    siginfo_t what;
    while (sigwaitinfo(&hangup, &what) < 0) {}
    return create(name, 0644, "hung up\n");
}

static int raw(void) {
    struct termios mode;
    if (tcgetattr(0, &mode) != 0) return errno;
    cfmakeraw(&mode);
    tcsetattr(0, TCSANOW, &mode);
    say(1, "ready\n");
    unsigned char byte;
    while (read(0, &byte, 1) == 1) {
        say(1, "byte %d\n", byte);
        if (byte == 'q') return 0;
    }
    return 1;
}

static int terminal(void) {
    struct termios mode;
    struct winsize size;
    say(1, "terminal %d, mode %d", isatty(0), tcgetattr(0, &mode));
    say(1, " %x %x %x %x", mode.c_iflag, mode.c_oflag, mode.c_cflag, mode.c_lflag);
    say(1, ", size %d", ioctl(0, TIOCGWINSZ, &size));
    say(1, " %d %d, foreground %d\n", size.ws_row, size.ws_col, tcgetpgrp(0) == getpgrp());
    int controlling = open("/dev/tty", O_RDWR | O_NOCTTY);
    say(1, "controlling terminal %d\n", controlling >= 0);
    return 0;
}

/* ---- what a watcher may be in the way of ---- */

/* Filters its own calls: one of them asks a tracer, of whom there is none, another says no; or somebody is to listen. */
static int filter(const char *how) {
    int is_traced = strcmp(how, "trace") == 0;
    unsigned verdict = is_traced ? SECCOMP_RET_TRACE : SECCOMP_RET_ERRNO | EDOM;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_chdir, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, verdict),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (strcmp(how, "listen") == 0) {
        say(1, "%d\n", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program) >= 0);
        return 0;
    }
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) return 1;
    say(1, "%d %d\n", chdir("/"), errno);
    return 0;
}

static int ring(void) {
    char room[120] = {0};
    long answer = syscall(SYS_io_uring_setup, 4, room);
    say(1, "%d %d\n", answer >= 0, answer >= 0 ? 0 : errno);
    return 0;
}

static void tick(int signal) { (void)signal; }

/* Waits for an alarm. */
static int ticks(int flags) {
    struct sigaction action = {.sa_handler = tick, .sa_flags = flags};
    sigaction(SIGALRM, &action, NULL);
    /* Again and again: the first may ring before it is waited for. */
    struct itimerval soon = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &soon, NULL);
    pause();
    setitimer(ITIMER_REAL, &never, NULL);
    say(1, "rung\n");
    return 0;
}

/* ---- what `tool` does ---- */

/* The kernel's own call: the C library keeps signals 32 and 33 to itself. */
static void dispose(int signal, void (*handler)(int)) {
    struct { void (*handler)(int); unsigned long flags; void *restorer; uint64_t mask; } action = {handler, 0, NULL, 0};
    syscall(SYS_rt_sigaction, signal, &action, NULL, sizeof action.mask);
}

static void block(int signal) {
    uint64_t mask = 1ull << (signal - 1);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, NULL, sizeof mask);
}

static void limit(int which, const char *word) {
    rlim_t most = strcmp(word, "max") == 0 ? RLIM_INFINITY : (rlim_t)number(word);
    struct rlimit now;
    getrlimit(which, &now);
    if (most > now.rlim_max && geteuid() != 0) most = now.rlim_max;
    struct rlimit both = {most, most};
    if (setrlimit(which, &both) != 0) { perror("setrlimit"); _exit(99); }
}

/* As a container may: no further filter may be installed, another process may not be traced nor its memory be read, ...;
   `kill:` before it ends the thread that tries. */
static void deny(const char *what) {
    unsigned verdict = SECCOMP_RET_ERRNO | EPERM;
    if (strncmp(what, "kill:", 5) == 0) {
        verdict = SECCOMP_RET_KILL_THREAD;
        what += 5;
    }
    int denied[2], count = 1;
    if (strcmp(what, "filters") == 0) denied[0] = SYS_seccomp;
    else if (strcmp(what, "unshare") == 0) denied[0] = SYS_unshare;
    else if (strcmp(what, "mount") == 0) denied[0] = SYS_mount;
    else if (strcmp(what, "attributes") == 0) denied[0] = SYS_mount_setattr;
    else if (strcmp(what, "pivot") == 0) denied[0] = SYS_pivot_root;
    else if (strcmp(what, "capabilities") == 0) denied[0] = SYS_capset;
    else if (strcmp(what, "memory") == 0) { denied[0] = SYS_process_vm_readv; denied[1] = SYS_ptrace; count = 2; }
    else _exit(98);
    struct sock_filter code[8] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    int length = 1;
    for (int i = 0; i < count; i++) {
        code[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, denied[i], 0, 1);
        code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict);
    }
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {length, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) { perror("PR_SET_SECCOMP"); _exit(99); }
}

static void jobserver(int in, int out) {
    int ends[2];
    if (pipe(ends) != 0 || put(ends[1], "++", 2) != 0) _exit(99);
    if (dup2(ends[0], in) < 0 || dup2(ends[1], out) < 0) _exit(99);
    if (ends[0] != in && ends[0] != out) close(ends[0]);
    if (ends[1] != in && ends[1] != out) close(ends[1]);
}

static int with(char **words) {
    char *entries[64] = {NULL};
    int count = 0, replaced = 0;
    char *path = getenv("PATH");
    for (; *words && strcmp(*words, "--") != 0; words++) {
        char *value = strchr(*words, '=');
        if (!value) _exit(98);
        *value++ = '\0';
        const char *name = *words;
        if (strcmp(name, "close") == 0) close(number(value));
        else if (strcmp(name, "ignore") == 0) dispose(number(value), SIG_IGN);
        else if (strcmp(name, "default") == 0) dispose(number(value), SIG_DFL);
        else if (strcmp(name, "block") == 0) block(number(value));
        else if (strcmp(name, "umask") == 0) umask(strtol(value, NULL, 8));
        else if (strcmp(name, "fsize") == 0) limit(RLIMIT_FSIZE, value);
        else if (strcmp(name, "nofile") == 0) limit(RLIMIT_NOFILE, value);
        else if (strcmp(name, "nproc") == 0) limit(RLIMIT_NPROC, value);
        else if (strcmp(name, "core") == 0) limit(RLIMIT_CORE, value);
        else if (strcmp(name, "as") == 0) limit(RLIMIT_AS, value);
        else if (strcmp(name, "stack") == 0) limit(RLIMIT_STACK, value);
        else if (strcmp(name, "memlock") == 0) limit(RLIMIT_MEMLOCK, value);
        else if (strcmp(name, "deny") == 0) deny(value);
        else if (strcmp(name, "nice") == 0) { if (nice(number(value)) == -1 && errno) _exit(99); }
        else if (strcmp(name, "slack") == 0) prctl(PR_SET_TIMERSLACK, number(value), 0, 0, 0);
        else if (strcmp(name, "personality") == 0) personality(number(value));
        else if (strcmp(name, "no-new-privileges") == 0) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        else if (strcmp(name, "cpu") == 0) {
            cpu_set_t allowed, one;
            sched_getaffinity(0, sizeof allowed, &allowed);
            CPU_ZERO(&one);
            for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++) {
                if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &one);
            }
            sched_setaffinity(0, sizeof one, &one);
        }
        else if (strcmp(name, "oom") == 0) {
            int fd = open("/proc/self/oom_score_adj", O_WRONLY);
            if (fd >= 0) { put(fd, value, strlen(value)); close(fd); }
        }
        else if (strcmp(name, "alarm") == 0) {
            struct itimerval once = {{0, 0}, {0, number(value) * 1000}};
            setitimer(ITIMER_REAL, &once, NULL);
        }
        else if (strcmp(name, "nonblock") == 0) {
            int fd = number(value);
            fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        }
        else if (strcmp(name, "input") == 0) {
            int fd = open(value, O_RDONLY | O_NONBLOCK);
            if (fd < 0 || dup2(fd, 0) < 0) _exit(99);
            if (fd != 0) close(fd);
        }
        else if (strcmp(name, "socket") == 0) {
            int ends[2];
            if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) _exit(99);
            put(ends[1], value, strlen(value));
            dup2(ends[0], 0);
            close(ends[0]);
            dup2(ends[1], 7);
            close(ends[1]);
        }
        else if (strcmp(name, "jobserver") == 0) {
            char *comma = strchr(value, ',');
            jobserver(number(value), number(comma + 1));
        }
        else if (strcmp(name, "user") == 0) {
            int id = number(value);
            if (setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id)) _exit(99);
        }
        else if (strcmp(name, "env") == 0) { entries[count++] = value; replaced = 1; }
        else if (strcmp(name, "keep") == 0) {
            /* The variable as it is here. */
            char *kept = malloc(strlen(value) + strlen(getenv(value)) + 2);
            sprintf(kept, "%s=%s", value, getenv(value));
            entries[count++] = kept;
            replaced = 1;
        }
        else _exit(98);
    }
    if (!*words) _exit(98);
    words++;
    if (replaced) {
        /* execvpe looks at the PATH of this process, which may be gone from what the command gets. */
        setenv("PATH", path, 1);
        execvpe(words[0], words, entries);
    } else {
        execvp(words[0], words);
    }
    /* As env(1) and timeout(1) have it. */
    return errno == ENOENT ? 127 : 126;
}

static int report(char **words) {
    pid_t child = fork();
    if (child == 0) {
        execvp(words[0], words);
        _exit(errno == ENOENT ? 127 : 126);
    }
    for (;;) {
        int status;
        if (waitpid(child, &status, WUNTRACED) < 0) return 99;
        if (WIFSTOPPED(status)) {
            say(2, "stopped %d\n", WSTOPSIG(status));
            kill(child, SIGCONT);
            continue;
        }
        if (WIFSIGNALED(status)) say(2, "killed %d\n", WTERMSIG(status));
        else say(2, "exited %d\n", WEXITSTATUS(status));
        return 0;
    }
}

/* The command as the first process of a process namespace, as in a container; who signals it is outside. */
static int container(char **words) {
    int gate[2], status;
    if (unshare(CLONE_NEWPID) != 0 || pipe(gate) != 0) return 77;
    pid_t inner = fork();
    if (inner == 0) {
        char nothing;
        close(gate[1]);
        if (read(gate[0], &nothing, 1) != 0) _exit(99);
        close(gate[0]);
        execvp(words[0], words);
        _exit(errno == ENOENT ? 127 : 126);
    }
    say(1, "job %d\n", inner);
    close(gate[0]);
    close(gate[1]);
    while (waitpid(inner, &status, 0) < 0) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What an interactive shell does with one job: its own group, the terminal, stopped and continued. */
static int shell(char **words) {
    int background = strcmp(words[0], "--background") == 0;
    words += background;
    int stop_writers = strcmp(words[0], "--tostop") == 0;
    words += stop_writers;
    int own[] = {SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) signal(own[i], SIG_IGN);
    pid_t job = fork();
    if (job == 0) {
        setpgid(0, 0);
        if (!background) tcsetpgrp(0, getpid());
        say(1, "job %d\n", getpid());
        if (stop_writers) {
            struct termios mode;
            tcgetattr(0, &mode);
            mode.c_lflag |= TOSTOP;
            tcsetattr(0, TCSANOW, &mode);
        }
        for (size_t i = 0; i < sizeof own / sizeof *own; i++) signal(own[i], SIG_DFL);
        execvp(words[0], words);
        _exit(errno == ENOENT ? 127 : 126);
    }
    setpgid(job, job);
    for (;;) {
        int status;
        if (waitpid(job, &status, WUNTRACED) < 0) return 99;
        tcsetpgrp(0, getpgrp());
        if (WIFSTOPPED(status)) {
            say(1, "stopped %d\n", WSTOPSIG(status));
            char answer[64];
            ssize_t length = read(0, answer, sizeof answer);
            if (length <= 0) return 98;
            if (strncmp(answer, "fg\n", 3) == 0) tcsetpgrp(0, job);
            kill(-job, SIGCONT);
            continue;
        }
        if (WIFSIGNALED(status)) say(1, "killed %d\n", WTERMSIG(status));
        else say(1, "exited %d\n", WEXITSTATUS(status));
        return 0;
    }
}

/* ---- which of it ---- */

/* A folder for each execution, beside the folder of the program: it takes neither a descriptor nor a byte. */
static void mark(void) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 128);
    if (length < 0) return;
    path[length] = '\0';
    for (int i = 0; i < 2; i++) *strrchr(path, '/') = '\0';
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    sprintf(path + strlen(path), "/executions/%d.%lld.%ld", getpid(), (long long)now.tv_sec, now.tv_nsec);
    mkdir(path, 0777);
}

int main(int count, char **words) {
    char *name = strrchr(words[0], '/');
    name = name ? name + 1 : words[0];
    if (strcmp(name, "tool") != 0) mark();
    if (count < 2) return 97;
    char **rest = words + 2;
    const char *what = words[1];
#define DOES(word) if (strcmp(what, word) == 0)
    DOES("args") return args(words);
    DOES("cat") return cat();
    DOES("environment") return entries();
    DOES("group") return group();
    DOES("hash") return hash();
    DOES("limits") return limits();
    DOES("ring") return ring();
    DOES("ticks") return ticks(0);
    DOES("ticks-restarting") return ticks(SA_RESTART);
    DOES("line") return line();
    DOES("raw") return raw();
    DOES("signals") return signals();
    DOES("surroundings") return surroundings();
    DOES("terminal") return terminal();
    DOES("until-left") return until_left(1);
    DOES("wait") for (;;) pause();
    DOES("until-end") { watch_for(rest); return until_end(); }
    if (count < 3) return 96;
    DOES("big") return big(strtoull(rest[0], NULL, 0));
    DOES("container") return container(rest);
    DOES("create") return create(rest[0], strtol(rest[1], NULL, 8), rest[2]);
    DOES("drip") return drip(number(rest[0]));
    DOES("errors") return out(2, number(rest[0]));
    DOES("exit") return number(rest[0]);
    DOES("fds") return fds(rest[0]);
    DOES("fill") return fill(rest[0], number(rest[1]));
    DOES("filter") return filter(rest[0]);
    DOES("hung-up") return hung_up(rest[0]);
    DOES("leave-behind") return leave_behind(rest[0], rest[1] ? number(rest[1]) : 0);
    DOES("leave-with") { leave_with = number(rest[0]); watch_for(rest + 1); return until_end(); }
    DOES("lines") return lines(number(rest[0]));
    DOES("mix") return mix(number(rest[0]));
    DOES("out") return out(1, number(rest[0]));
    DOES("place") return place();
    DOES("print") return print(rest);
    DOES("raise") { syscall(SYS_kill, getpid(), number(rest[0])); return rest[1] ? number(rest[1]) : 0; }
    DOES("report") return report(rest);
    DOES("resize") { int error = resize(number(rest[0])); return error ? error : lseek(1, 0, SEEK_END) < 0; }
    DOES("resize-and-stay") return resize(number(rest[0]));
    DOES("rewrite") return rewrite();
    DOES("shell") return shell(rest);
    DOES("set-attribute") return setxattr(rest[0], rest[1], rest[2], strlen(rest[2]), 0) ? errno : 0;
    DOES("stop-itself") { say(1, "ready\n"); kill(getpid(), number(rest[0])); say(1, "back\n"); return 0; }
    DOES("until-signal") { watch_for(rest); return until_signal(); }
    DOES("with") return with(rest);
    DOES("write") { int error = put(number(rest[0]), rest[1], strlen(rest[1])); return error ? error : number(rest[2]); }
    return 95;
}
