use std::fs;
use std::path::Path;

/// The folder of the pages, which their links are relative to.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

#[test]
fn and_link_to_files_that_do() {
    for page in ["mistakes.md", "order.md"] {
        let text = fs::read_to_string(Path::new(FOLDER).join(page)).unwrap();
        let targets = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        let linked: Vec<String> = targets
            .map(|target| fs::read_to_string(Path::new(FOLDER).join(target)).expect(target))
            .collect();
        let tests: Vec<_> =
            text.split('`').skip(1).step_by(2).filter(|text| is_test(text)).collect();
        assert!(tests.len() > 5, "{page}: {tests:?}");
        for test in tests {
            let definition = format!("fn {test}()");
            assert!(linked.iter().any(|file| file.contains(&definition)), "{page}: no {test}");
        }
    }
}

/// Names of tests are sentences, and longer than other names.
fn is_test(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.matches('_').count() > 3
}
