//! Programs of which it is known that size, times and owner of a file do not change what they make.

use std::path::Path;

/// By the names of their files, without the prefix of a target and the suffix of a version.
const BLIND: &[&str] = &[
    "cc1",
    "cc1plus",
    "cc1obj",
    "f951",
    "collect2",
    "lto1",
    "lto-wrapper",
    "as",
    "ld",
    "ld.bfd",
    "ld.gold",
    "ld.lld",
    "lld",
    "mold",
    "gcc",
    "g++",
    "cc",
    "c++",
    "cpp",
    "clang",
    "clang++",
    "rustc",
    "ar",
    "ranlib",
    "strip",
    "objcopy",
    "nm",
];

/// Whether the program at `path` is one of them.
pub fn is_blind(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let name = without_version(name);
    // `x86_64-linux-gnu-gcc`, but not `my-cc`.
    let bare = match name.rsplit_once('-') {
        Some((target, bare)) if target.contains('-') => bare,
        Some(_) if name != "lto-wrapper" => return false,
        _ => name,
    };
    BLIND.contains(&bare) || BLIND.contains(&name)
}

/// `gcc-12` and `clang-16.0` without what follows the hyphen.
fn without_version(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((bare, version)) if !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            bare
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_are_known_by_their_names() {
        let blind = |name: &str| is_blind(&Path::new("/usr/bin").join(name));
        for name in
            ["cc1", "gcc-12", "x86_64-linux-gnu-gcc-12", "x86_64-linux-gnu-ld.bfd", "clang++-16.0", "lto-wrapper"]
        {
            assert!(blind(name), "{name}");
        }
        for name in ["make", "tar", "my-cc", "gcc-ng", "find", "x86_64-linux-gnu-make", "ccache"] {
            assert!(!blind(name), "{name}");
        }
    }
}
