//! Signal names for tests, from man 7 signal (x86-64).

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// The number of a signal given by number or by name without SIG.
pub fn number(signal: &str) -> i32 {
    let named = || NAMES.iter().position(|name| *name == signal).map(|index| index as i32 + 1);
    signal.parse().ok().or_else(named).unwrap_or_else(|| panic!("no signal {signal}"))
}
