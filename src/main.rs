//! The `pantler` program; all of it is in `pantler-cli`.

fn main() -> std::process::ExitCode {
    pantler_cli::main()
}
