//! The program `annals-fsck`.

fn main() -> std::process::ExitCode {
    annals_cli::fsck::main()
}
