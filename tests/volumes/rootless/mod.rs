//! scripts/setup_rootless.sh: what it sees, what it changes, that it takes it back, and a real rootless engine at the end.

mod check;
mod install;
mod machine;
mod real;
