//! The same command many times at once: one execution, and everybody gets the same.

use std::fs;

use crate::form::of_form;
use crate::starter::all_at_once;
use crate::world::World;

/// Commands that are started together.
const TOGETHER: usize = 64;
/// What the tool does: two streams, a file that no call's own file holds, a status.
const TOOL: &str =
    "cat input; echo said >&2; mkdir -p out; seq 5000 > out/numbers; cp input out/copy; exit $(($(cat input) % 3))";

fn words(tool: &str) -> Vec<&str> {
    vec!["run", "--cache-exit", "0,1,2", "-i", "input", "-o", "out/", "--", tool]
}

#[test]
fn sixty_four_identical_commands_at_once() {
    let rounds = of_form(10, 200);
    let (world, twin) = (World::new(), World::new());
    let tool = world.counted("tool", TOOL);
    let bare_tool = twin.counted("tool", TOOL);
    let (mut executions, mut most) = (0, 0);
    for round in 0..rounds {
        for world in [&world, &twin] {
            world.write("input", format!("{round}\n"));
            let _ = fs::remove_dir_all(world.path("out"));
        }
        let bare = twin.program(&bare_tool, [""; 0]).run();
        let before = world.executions("tool");
        let sessions = (0..TOGETHER).map(|_| world.fleche(words(tool.to_str().unwrap()))).collect();
        for outcome in all_at_once(sessions) {
            assert_eq!(outcome, bare, "round {round}");
        }
        for name in ["out/numbers", "out/copy"] {
            assert_eq!(world.read(name), twin.read(name), "round {round}");
        }
        let done = world.executions("tool") - before;
        (executions, most) = (executions + done, most.max(done));
        assert!(done > 0, "round {round} began with a hit");
    }
    // Best effort: whoever looks when one is stored and the lock is gone again runs it, and that is seldom.
    assert!(executions <= rounds * 2, "{executions} executions in {rounds} rounds");
    world.fleche(["verify"]).prints("");
    world.fleche(["gc", "--grace", "0s"]).prints("");
    world.fleche(["gc", "--grace", "0s", "--dry-run"]).prints("");
    println!(
        "identical: {rounds} rounds of {TOGETHER} (200 with FLECHE_LONG), {executions} executions, at most {most} in a round, 0 failures"
    );
}
