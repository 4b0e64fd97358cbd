//! Writes random models into a folder: seeds for the fuzzer, files for other machines.
//!
//! Usage: write_models FOLDER [COUNT]

use std::path::PathBuf;
use std::process::ExitCode;

use tinception_tests::every_operator::every_operator_model;
use tinception_tests::single_operator::single_operator_model;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let count = |text: std::ffi::OsString| text.to_str().and_then(|text| text.parse::<u64>().ok());
    let (Some(folder), Some(count)) = (arguments.next().map(PathBuf::from), arguments.next().map_or(Some(8), count))
    else {
        eprintln!("usage: write_models FOLDER [COUNT]");
        return ExitCode::from(2);
    };
    for seed in 0..count {
        let files = [("every", every_operator_model(seed)), ("single", single_operator_model(seed))];
        for (name, bytes) in files {
            let path = folder.join(format!("{name}-{seed}.tin"));
            if let Err(error) = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, bytes)) {
                eprintln!("{}: {error}", path.display());
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::SUCCESS
}
