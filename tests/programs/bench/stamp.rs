//! The smallest COMMAND there is: writes CLOCK_MONOTONIC to stdout at its first instruction, then becomes the program that
//! its arguments name, if any. `stamp PROGRAM stamp` so prints when PROGRAM was executed and when its COMMAND was.
//!
//! Built by scripts/bench.sh without start files or libc, whose own start would be most of what is measured.
#![no_std]
#![no_main]

core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov r12, [rsp]",     // argc
    "lea r13, [rsp + 8]", // argv
    "sub rsp, 16",
    "mov eax, 228", // clock_gettime
    "mov edi, 1",   // CLOCK_MONOTONIC
    "mov rsi, rsp",
    "syscall",
    "mov eax, 1", // write
    "mov edi, 1",
    "mov rsi, rsp",
    "mov edx, 16",
    "syscall",
    "xor edi, edi",
    "cmp r12, 1",
    "jle 2f",
    "mov rdi, [r13 + 8]",
    "lea rsi, [r13 + 8]",
    "lea rdx, [r13 + r12 * 8 + 8]", // the environment stands behind argv's null
    "mov eax, 59",                  // execve
    "syscall",
    "mov edi, 127",
    "2:",
    "mov eax, 231", // exit_group
    "syscall",
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
