//! argv to verb, nothing else.

fn main() -> std::process::ExitCode {
    takumi_init::programs::takumi_secrets()
}
