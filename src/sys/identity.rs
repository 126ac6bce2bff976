//! Who runs, where and under which limits: user, umask, machine.
