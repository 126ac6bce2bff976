//! Each promise of SECURITY.md names a test that there is.

use std::fs;
use std::path::Path;

#[test]
fn every_promise_names_its_test() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(top.join("SECURITY.md")).unwrap();
    let mut named = 0;
    for word in page.split('`').skip(1).step_by(2) {
        let Some((module, test)) = word.split_once("::") else { continue };
        let file = top.join("tests/secrets").join(module).with_extension("rs");
        let text = fs::read_to_string(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        assert!(text.contains(&format!("#[test]\nfn {test}()")), "SECURITY.md names `{word}`");
        named += 1;
    }
    assert!(named > 10, "{named}");
}
