//! What was evicted and collected is nowhere in the cache any more.

use crate::canary::Remains;
use crate::stage::Stage;
use crate::tell;

/// What a call tells of itself: each is in the cache before, and must not be afterwards.
const TOLD: [&str; 7] = [
    "printed-by-the-command",
    "an-argument-of-the-command",
    "an-input-by-name",
    "an-output-by-name",
    "written-into-an-output",
    "a-tag-of-the-call",
    "said-on-standard-error",
];

#[test]
fn an_evicted_call_is_nowhere() {
    let mut searched = 0;
    for (way, steps) in [
        ("one by one", &[&["evict", "--name", "*"][..]][..]),
        ("by collecting", &[&["gc", "--max-size", "0", "--grace", "0s"]]),
        ("from the first of a stack", &[&["--cache", "local", "evict", "--name", "*"]]),
        ("by a transfer", &[&["transfer", "--from", "local", "--to", "../other", "--pop"]]),
    ] {
        let stage = Stage::new();
        let [printed, argument, input, output, written, tag, said] = TOLD;
        stage.world.write(input, "1");
        // Once in the call's own file, and once in a value of its own, where it is not at the beginning.
        for size in [10, 300_000] {
            let line = format!(
                "cat {input}; head -c {size} /dev/zero | tr '\\0' x; echo {printed}; echo {said} >&2;
                 {{ head -c {size} /dev/zero; echo {written}; }} > {output}"
            );
            let watched = ["run", "-v", "--tag", &format!("kind={tag}"), "--", "sh", "-c", &line, argument];
            let declared = [
                "run",
                "-v",
                "--tag",
                &format!("kind={tag}"),
                "-i",
                input,
                "-o",
                output,
                "--",
                "sh",
                "-c",
                &line,
                argument,
            ];
            for words in [&watched[..], &declared] {
                std::fs::remove_file(stage.world.path(output)).ok();
                let outcome = stage.fleche(words).run();
                assert!(outcome.stderr().contains("; stored "), "{outcome:?}");
            }
        }
        // The catalogue knows of them, its pages are written.
        assert_eq!(stage.fleche(&["query", "--count"]).run().stdout(), "4\n");
        assert_eq!(stage.fleche(&["tag", "--name", "*", &format!("more={tag}")]).run().code(), 0);
        assert_eq!(stage.fleche(&["table", "--args", "--results"]).run().code(), 0);
        assert_eq!(stage.fleche(&["run", "--pure", "--", "echo", "stays"]).run().code(), 0);
        let before = Remains::of(&stage.world.cache());
        TOLD.iter().for_each(|told| assert!(before.hold(told.as_bytes()), "{way}: {told} was not recorded"));
        for words in steps {
            let outcome = stage.fleche(words).run();
            assert_eq!(outcome.code(), 0, "{way}: {outcome:?}");
        }
        assert_eq!(stage.fleche(&["gc", "--grace", "0s"]).run().code(), 0);
        assert_eq!(stage.fleche(&["query", "--name", "sh", "--count"]).run().stdout(), "0\n");
        let after = Remains::of(&stage.world.cache());
        let left: Vec<&str> = TOLD.into_iter().filter(|told| after.hold(told.as_bytes())).collect();
        assert_eq!(left, [""; 0], "{way}: {}", after.places_of(left.first().copied().unwrap_or("?").as_bytes()));
        searched += after.size().0;
    }
    tell(&format!("4 ways to forget 16 calls: none of {} texts in {searched} files", TOLD.len()));
}
