//! `takumi-nodes`: reads strangers' Python, for `init` and for a person before an installation.

fn main() -> std::process::ExitCode {
    takumi_init::programs::takumi_nodes()
}
