//! What a node's `.git` holds that changes by itself and cannot be loaded as code: it is not in the digest.
//!
//! `git status`, a look for updates and git's own tidying up write there every day, and an approval that ends by that would be given
//! again blindly. What runs (`config`, `hooks`, whatever Python could import) is digested, and so is all that is checked out.

/// Plain files with these names in the node's own `.git`.
const FILES: [&[u8]; 5] = [
    // Times and sizes of the files that git knows; every `git status` may write it.
    b"index", // What the last fetch saw, and where HEAD was before the last merge.
    b"FETCH_HEAD", b"ORIG_HEAD",
    // The refs below in one file, after `git gc`, which moves them there by itself.
    b"packed-refs", b"info/refs",
];

/// Plain files in these directories of it.
const DIRECTORIES: [&[u8]; 3] = [
    // Compressed contents, named by their own hash.
    b"objects", // What was checked out when.
    b"logs",
    // The hash of a commit each; a fetch writes there what others offer. What of it is checked out shows in the files.
    b"refs",
];

/// Endings that Python loads, whatever the directory is.
const CODE: [&[u8]; 5] = [b".py", b".pyw", b".pyc", b".so", b".pth"];

/// Whether the path lies where git's own data lies. Whether it is a plain file that nobody executes is for the caller
/// to see.
pub(super) fn is_data(path: &[u8]) -> bool {
    let Some(path) = path.strip_prefix(b".git/") else { return false };
    let lies_in = |directory: &[u8]| path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"));
    let is_code = CODE.iter().any(|ending| ends_with(path, ending));
    !is_code && (FILES.contains(&path) || DIRECTORIES.iter().any(|directory| lies_in(directory)))
}

/// Whatever the case of its letters: a volume may not tell them apart.
pub(in crate::nodes) fn ends_with(name: &[u8], ending: &[u8]) -> bool {
    name.len().checked_sub(ending.len()).is_some_and(|start| name[start..].eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_git_writes_by_itself_is_data() {
        for path in [&b".git/index"[..], b".git/objects/ab/cdef", b".git/logs/HEAD", b".git/refs/remotes/origin/main"] {
            assert!(is_data(path), "{}", crate::text::Escaped(path));
        }
        for path in [
            &b".git/config"[..],
            b".git/hooks/post-merge",
            b".git/HEAD",
            b".git/refs/heads/x.py",
            b".git/objects/ab/x.py",
            b".git/objects/x.SO",
            b".git/logs/x.pyc",
            b".git/index/x",
            b".git/objectsx/a",
            b".git/objects",
            b"a/.git/index",
            b".gitx/index",
            b"index",
        ] {
            assert!(!is_data(path), "{}", crate::text::Escaped(path));
        }
    }
}
