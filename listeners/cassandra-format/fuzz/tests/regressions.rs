//! Every seed and every input that once failed, without a fuzzer.

use std::fs;
use std::path::Path;

use tidemark_cassandra_fuzz::TARGETS;

#[test]
fn every_regression_is_handled() {
    for target in &TARGETS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(target.name);
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            target.run(&fs::read(&path).unwrap());
        }
    }
}

#[test]
fn every_regression_belongs_to_a_target() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for entry in fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(TARGETS.iter().any(|target| target.name == name), "regressions/{name}");
    }
}

#[test]
fn every_seed_is_handled() {
    for target in &TARGETS {
        let seeds = target.seeds();
        assert!(seeds.len() > 10, "{}: {} seeds", target.name, seeds.len());
        seeds.iter().for_each(|seed| target.run(seed));
    }
}
