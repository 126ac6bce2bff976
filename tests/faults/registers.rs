//! The registers of a stopped process: what a system call is made of, and how it is changed.

use std::io;
use std::mem;

use libc::{c_int, c_void, pid_t};

/// What the kernel tells of a process that is stopped at a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Before the call.
    Entry { number: i64, arguments: [u64; 6] },
    /// After it; a negative result is an error number.
    Exit { result: i64 },
    /// At something else.
    Other,
}

/// `struct ptrace_syscall_info` of ptrace(2).
#[repr(C)]
struct Told {
    what: u8,
    padding: [u8; 3],
    architecture: u32,
    instruction_pointer: u64,
    stack_pointer: u64,
    /// At an entry the number and six arguments; at an exit the result.
    numbers: [u64; 8],
}

const GET_SYSCALL_INFO: c_int = 0x420e;
const GET_REGISTERS: c_int = 0x4204;
const SET_REGISTERS: c_int = 0x4205;
/// The set of general registers.
const GENERAL: c_int = 1;

/// Where a process is stopped.
pub fn stop(pid: pid_t) -> io::Result<Stop> {
    // SAFETY: plain numbers, for which zeroes are values.
    let mut told: Told = unsafe { mem::zeroed() };
    let size = mem::size_of::<Told>();
    // SAFETY: the kernel writes at most `size` bytes.
    let written = unsafe { libc::ptrace(GET_SYSCALL_INFO as _, pid, size, &raw mut told) };
    if written < 0 {
        return Err(io::Error::last_os_error());
    }
    let [number, arguments @ ..] = told.numbers;
    Ok(match told.what {
        1 => Stop::Entry { number: number as i64, arguments: arguments[..6].try_into().unwrap() },
        2 => Stop::Exit { result: number as i64 },
        _ => Stop::Other,
    })
}

/// Makes the kernel skip the call at whose entry the process is stopped.
pub fn skip(pid: pid_t) -> io::Result<()> {
    set_number(pid)
}

/// Changes an argument of the call at whose entry or exit the process is stopped, and returns what it was.
///
/// A call leaves its arguments in their registers, and who made it may go on with them: what was changed at the entry is to
/// be changed back at the exit.
pub fn set_argument(pid: pid_t, index: usize, value: u64) -> io::Result<u64> {
    let mut was = value;
    change(pid, |registers| was = mem::replace(argument(registers, index), value))?;
    Ok(was)
}

/// Changes the result of the call at whose exit the process is stopped.
pub fn set_result(pid: pid_t, value: i64) -> io::Result<()> {
    change(pid, |registers| *result(registers) = value as u64)
}

fn change(pid: pid_t, change: impl FnOnce(&mut libc::user_regs_struct)) -> io::Result<()> {
    // SAFETY: plain numbers, for which zeroes are values.
    let mut registers: libc::user_regs_struct = unsafe { mem::zeroed() };
    transfer(GET_REGISTERS, pid, GENERAL, &mut registers)?;
    change(&mut registers);
    transfer(SET_REGISTERS, pid, GENERAL, &mut registers)
}

/// Reads or writes a set of registers.
fn transfer<T>(request: c_int, pid: pid_t, set: c_int, value: &mut T) -> io::Result<()> {
    let mut piece = libc::iovec { iov_base: (value as *mut T).cast::<c_void>(), iov_len: mem::size_of::<T>() };
    // SAFETY: the kernel reads or writes at most the length of `piece`.
    if unsafe { libc::ptrace(request as _, pid, set as usize, &raw mut piece) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn set_number(pid: pid_t) -> io::Result<()> {
    change(pid, |registers| registers.orig_rax = u64::MAX)
}

#[cfg(target_arch = "x86_64")]
fn argument(registers: &mut libc::user_regs_struct, index: usize) -> &mut u64 {
    match index {
        0 => &mut registers.rdi,
        1 => &mut registers.rsi,
        2 => &mut registers.rdx,
        3 => &mut registers.r10,
        4 => &mut registers.r8,
        _ => &mut registers.r9,
    }
}

#[cfg(target_arch = "x86_64")]
fn result(registers: &mut libc::user_regs_struct) -> &mut u64 {
    &mut registers.rax
}

#[cfg(target_arch = "aarch64")]
fn set_number(pid: pid_t) -> io::Result<()> {
    /// The set that holds the number of the call alone.
    const NT_ARM_SYSTEM_CALL: c_int = 0x404;
    let mut none: c_int = -1;
    transfer(SET_REGISTERS, pid, NT_ARM_SYSTEM_CALL, &mut none)
}

#[cfg(target_arch = "aarch64")]
fn argument(registers: &mut libc::user_regs_struct, index: usize) -> &mut u64 {
    &mut registers.regs[index]
}

#[cfg(target_arch = "aarch64")]
fn result(registers: &mut libc::user_regs_struct) -> &mut u64 {
    &mut registers.regs[0]
}
