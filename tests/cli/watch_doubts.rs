//! Where watching would be in the way of a command it is not watched, and what it may have disturbed is not stored.

use crate::probe;
use crate::world::World;

#[test]
fn filters_around_fleche_are_in_nobodys_way() {
    let world = World::new();
    let path = probe::install(&world);
    world.write("a", "1\n");
    let not_watched = "not stored: commands cannot be watched here";
    for denied in ["unshare", "kill:unshare", "kill:filters", "kill:memory"] {
        for _ in 0..2 {
            let line = format!("tool with deny={denied} -- fleche run -v -- sh -c 'cat a; exit 3'");
            let outcome = world.shell(&line).env("PATH", &path).run();
            assert_eq!((outcome.code(), outcome.stdout()), (3, "1\n".to_owned()), "{denied}: {}", outcome.stderr());
        }
        let line = format!("tool with deny={denied} -- fleche run -v -- cat a");
        let outcome = world.shell(&line).env("PATH", &path).run();
        assert!(outcome.stderr().contains(not_watched), "{denied}: {}", outcome.stderr());
    }
}
