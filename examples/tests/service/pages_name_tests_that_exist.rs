use std::fs;
use std::path::Path;

/// The page, and the folder that its links are relative to.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/mistakes.md");

#[test]
fn and_links_to_files_that_do() {
    let page = fs::read_to_string(PAGE).unwrap();
    let folder = Path::new(PAGE).parent().unwrap();
    let targets = page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let linked: Vec<String> =
        targets.map(|target| fs::read_to_string(folder.join(target)).expect(target)).collect();
    let tests: Vec<_> = page.split('`').skip(1).step_by(2).filter(|text| is_test(text)).collect();
    assert!(tests.len() > 5, "{tests:?}");
    for test in tests {
        let definition = format!("fn {test}()");
        assert!(linked.iter().any(|file| file.contains(&definition)), "no test {test}");
    }
}

/// Names of tests are sentences, and longer than other names.
fn is_test(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.matches('_').count() > 3
}
