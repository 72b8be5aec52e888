//! The driver's libraries, looked for where the loader will look for them. They are not loaded: that would run code of
//! the host's in PID 1, and a static program cannot.

use super::below_root;
use super::driver::Version;
use crate::sys::{fs, io};
use std::os::fd::AsFd;

/// What is seen of one library.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Library {
    /// The loader finds it.
    Found(LibraryFile),
    /// It is there, and the loader does not search that directory: LD_LIBRARY_PATH would have to name this directory.
    NotSearched(LibraryFile),
    /// The file of a version is there, and the name that programs ask for is not (nvidia-container-toolkit#1099).
    MissingSoname(String),
    /// The loader finds something that is no library: an empty file that `docker commit` left of a mount.
    Broken(String),
    Missing,
}

/// Where a library is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LibraryFile {
    /// Its path, as it is asked for.
    pub path: String,
    /// The version in the name of the file that it leads to, or of one beside it.
    pub version: Option<Version>,
}

impl Library {
    /// Its place, where a program can load it.
    pub fn found(&self) -> Option<&LibraryFile> {
        if let Library::Found(place) = self { Some(place) } else { None }
    }
}

/// CUDA's and the management library's, in that order.
pub const SONAMES: [&str; 2] = ["libcuda.so.1", "libnvidia-ml.so.1"];

/// The loader's own directories (`man 8 ld.so`, with Debian's for several architectures).
#[cfg(target_arch = "aarch64")]
const LOADER_DIRECTORIES: [&str; 6] =
    ["/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];
#[cfg(not(target_arch = "aarch64"))]
const LOADER_DIRECTORIES: [&str; 6] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// Where engines put them, too: of no use without a line in /etc/ld.so.conf or LD_LIBRARY_PATH.
const ENGINE_DIRECTORIES: [&str; 6] = [
    "/usr/local/nvidia/lib64", "/usr/local/nvidia/lib", "/usr/lib/wsl/lib", "/usr/lib/aarch64-linux-gnu/nvidia",
    "/usr/lib/aarch64-linux-gnu/tegra", "/usr/local/cuda/compat",
];

/// A cache of a whole distribution has 100 to 300 KiB.
const MAX_CACHE_BYTES: usize = 8 << 20;

/// Looks for both below `root` (empty: the real one). `preferred`: LD_LIBRARY_PATH.
pub(super) fn observe(root: &str, preferred: &[u8]) -> [Library; 2] {
    let cache = io::read_whole(&below_root(root, "/etc/ld.so.cache"), MAX_CACHE_BYTES).unwrap_or_default();
    // An empty part is the working directory, and COMMAND's may be another.
    let preferred = preferred.split(|byte| matches!(byte, b':' | b';')).filter(|part| part.starts_with(b"/"));
    let preferred: Vec<&str> = preferred.filter_map(|part| std::str::from_utf8(part).ok()).collect();
    SONAMES.map(|name| find_library(root, name, &preferred, &cache))
}

fn find_library(root: &str, name: &str, preferred: &[&str], cache: &[u8]) -> Library {
    let in_directory = |directory: &&str| format!("{}/{name}", directory.trim_end_matches('/'));
    let reached = preferred
        .iter()
        .map(in_directory)
        .chain(find_in_cache(cache, name))
        .chain(LOADER_DIRECTORIES.iter().map(in_directory));
    for candidate in reached {
        match is_library(root, &candidate) {
            Some(true) => return Library::Found(library_file(root, candidate, name)),
            Some(false) => return Library::Broken(candidate),
            None => {}
        }
    }
    let others = ENGINE_DIRECTORIES.iter().map(in_directory);
    if let Some(found) = others.into_iter().find(|candidate| is_library(root, candidate) == Some(true)) {
        return Library::NotSearched(library_file(root, found, name));
    }
    let mut directories = preferred.iter().chain(&LOADER_DIRECTORIES).chain(&ENGINE_DIRECTORIES);
    let nameless = directories.find_map(|directory| {
        let (file, _) = find_versioned(root, directory, name)?;
        Some(Library::MissingSoname(format!("{directory}/{file}")))
    });
    nameless.unwrap_or(Library::Missing)
}

/// Whether the file is an ELF one; `None`: nothing is there.
fn is_library(root: &str, candidate: &str) -> Option<bool> {
    let path = below_root(root, candidate);
    if !io::exists(&path) {
        return None;
    }
    let mut magic = [0; 4];
    Some(io::read_into(&path, &mut magic).is_ok_and(|magic| magic == b"\x7fELF"))
}

fn library_file(root: &str, found: String, name: &str) -> LibraryFile {
    let mut buffer = [0; 4096];
    let real = io::open_path(&below_root(root, &found)).ok().and_then(|file| {
        let real = fs::DescriptorPath::of(file.as_fd()).target(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(real).into_owned())
    });
    let of_file = real.as_deref().and_then(|real| version_of_file_name(real.rsplit('/').next()?, name));
    let beside = || find_versioned(root, found.rsplit_once('/')?.0, name).map(|(_, version)| version);
    LibraryFile { version: of_file.or_else(beside), path: found }
}

/// `libcuda.so.550.54.14`: what follows the name without its last number.
fn version_of_file_name(file: &str, name: &str) -> Option<Version> {
    let stem = name.strip_suffix('1')?;
    Version::parse(file.strip_prefix(stem)?)
}

/// The one file of a version in a directory; two of them say nothing.
fn find_versioned(root: &str, directory: &str, name: &str) -> Option<(String, Version)> {
    let mut found = None;
    let mut count = 0;
    io::for_each_entry(&below_root(root, directory), |entry, _| {
        let file = String::from_utf8_lossy(entry);
        if let Some(version) = version_of_file_name(&file, name) {
            found = Some((file.into_owned(), version));
            count += 1;
        }
    })
    .ok()?;
    found.filter(|_| count == 1)
}

/// `FLAG_ELF_LIBC6` with this architecture (glibc, sysdeps/generic/ldconfig.h): another one's library is not loaded.
#[cfg(target_arch = "aarch64")]
const FLAGS: u32 = 0x0a03;
#[cfg(not(target_arch = "aarch64"))]
const FLAGS: u32 = 0x0303;

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";

/// Paths of a library in the text of /etc/ld.so.cache (glibc, sysdeps/generic/dl-cache.h): a header of 48 bytes,
/// entries of 24 (flags, offset of the name, offset of the path, two more), then the strings. Before 2.32 the old
/// format stands in front of it.
fn find_in_cache(cache: &[u8], name: &str) -> Vec<String> {
    let cache = match cache.strip_prefix(OLD_MAGIC) {
        Some(rest) => read_u32(rest, 0)
            .and_then(|count| (OLD_MAGIC.len() + 4 + count.checked_mul(12)?).checked_next_multiple_of(8))
            .and_then(|begin| cache.get(begin..))
            .unwrap_or_default(),
        None => cache,
    };
    let Some(count) = read_u32(cache, MAGIC.len()).filter(|_| cache.starts_with(MAGIC)) else { return Vec::new() };
    let entries = cache.get(48..).unwrap_or_default().chunks_exact(24).take(count);
    let matching = entries.filter(|entry| {
        read_u32(entry, 0) == Some(FLAGS as usize)
            && read_u32(entry, 4).and_then(|at| read_string(cache, at)) == Some(name.as_bytes())
    });
    let paths = matching.filter_map(|entry| read_string(cache, read_u32(entry, 8)?));
    paths.filter(|path| path.starts_with(b"/")).map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}

fn read_u32(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?) as usize)
}

/// A path is at most 4096 bytes; what does not end by then is none.
fn read_string(cache: &[u8], at: usize) -> Option<&[u8]> {
    let rest = cache.get(at..)?;
    let rest = &rest[..rest.len().min(4097)];
    rest.iter().position(|&byte| byte == 0).map(|end| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use takumi_test::require;

    /// As ldconfig writes it; `old`: with the format of before 2.32 in front.
    fn cache(entries: &[(u32, &str, &str)], old: bool) -> Vec<u8> {
        let mut strings = Vec::new();
        let mut table = Vec::new();
        let begin = 48 + entries.len() * 24;
        for (flags, name, path) in entries {
            let mut add = |text: &str| {
                let at = (begin + strings.len()) as u32;
                strings.extend_from_slice(text.as_bytes());
                strings.push(0);
                at
            };
            let (name, path) = (add(name), add(path));
            for word in [*flags, name, path, 0, 0, 0] {
                table.extend_from_slice(&word.to_ne_bytes());
            }
        }
        let mut bytes = Vec::new();
        if old {
            bytes.extend_from_slice(OLD_MAGIC);
            bytes.extend_from_slice(&1_u32.to_ne_bytes());
            bytes.extend_from_slice(&[0; 12 + 4]);
        }
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(entries.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(&(strings.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(&[0; 20]);
        bytes.extend_from_slice(&table);
        bytes.extend_from_slice(&strings);
        bytes
    }

    const CUDA: &str = "libcuda.so.1";

    #[test]
    fn a_library_is_found_in_either_format_of_the_cache() {
        let entries = [
            (0x0003, CUDA, "/usr/lib/i386-linux-gnu/libcuda.so.1"),
            (FLAGS, "libcuda.so.11", "/usr/lib/libcuda.so.11"),
            (FLAGS, CUDA, "/usr/lib64/libcuda.so.1"),
        ];
        for old in [false, true] {
            assert_eq!(find_in_cache(&cache(&entries, old), CUDA), ["/usr/lib64/libcuda.so.1"], "old: {old}");
        }
    }

    #[test]
    fn this_machines_own_cache_is_read() {
        require!("/etc/ld.so.cache");
        let found = find_in_cache(&std::fs::read("/etc/ld.so.cache").unwrap(), "libc.so.6");
        assert!(found.iter().any(|path| PathBuf::from(path).exists()), "{found:?}");
    }

    #[test]
    fn a_damaged_cache_holds_nothing_and_hurts_nobody() {
        let whole = cache(&[(FLAGS, CUDA, "/usr/lib64/libcuda.so.1")], true);
        for length in 0..whole.len() {
            assert!(find_in_cache(&whole[..length], CUDA).is_empty(), "{length}");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] = 0xff;
            let found = find_in_cache(&damaged, CUDA);
            assert!(found.len() <= 1 && found.iter().all(|path| path.starts_with('/')), "{at}: {found:?}");
        }
    }

    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("takumi-test-libraries-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&root).unwrap();
            Root(root)
        }

        fn file(&self, path: &str, content: &[u8]) {
            let path = self.0.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }

        fn link(&self, target: &str, path: &str) {
            std::os::unix::fs::symlink(target, self.0.join(path)).unwrap();
        }

        fn cuda(&self, preferred: &str) -> Library {
            observe(self.0.to_str().unwrap(), preferred.as_bytes())[0].clone()
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn place(path: &str, version: Option<&str>) -> LibraryFile {
        LibraryFile { path: path.to_string(), version: version.and_then(Version::parse) }
    }

    const ELF: &[u8] = b"\x7fELF and so on";

    #[test]
    fn the_loaders_order_is_kept() {
        let root = Root::new("order");
        assert_eq!(root.cuda(""), Library::Missing);
        root.file("usr/lib64/libcuda.so.550.54.14", ELF);
        assert_eq!(root.cuda(""), Library::MissingSoname("/usr/lib64/libcuda.so.550.54.14".into()));
        root.link("libcuda.so.550.54.14", "usr/lib64/libcuda.so.1");
        assert_eq!(root.cuda(""), Library::Found(place("/usr/lib64/libcuda.so.1", Some("550.54.14"))));
        root.file("opt/cuda/libcuda.so.535.1", ELF);
        root.link("libcuda.so.535.1", "opt/cuda/libcuda.so.1");
        root.file("etc/ld.so.cache", &cache(&[(FLAGS, CUDA, "/opt/cuda/libcuda.so.1")], false));
        assert_eq!(root.cuda("relative::/none"), Library::Found(place("/opt/cuda/libcuda.so.1", Some("535.1"))));
        root.file("home/libcuda.so.1", ELF);
        assert_eq!(root.cuda("/none:/home/"), Library::Found(place("/home/libcuda.so.1", None)));
        root.file("home/libcuda.so.1", b"");
        assert_eq!(root.cuda("/home"), Library::Broken("/home/libcuda.so.1".into()));
        root.link("nothing", "home/libnvidia-ml.so.1");
        assert_eq!(observe(root.0.to_str().unwrap(), b"/home")[1], Library::Missing, "a link to nothing is nothing");
    }

    #[test]
    fn a_version_beside_the_library_counts_and_two_do_not() {
        let root = Root::new("beside");
        root.file("usr/lib64/libcuda.so.1", ELF);
        root.file("usr/lib64/libcuda.so.550.54.14", ELF);
        assert_eq!(root.cuda(""), Library::Found(place("/usr/lib64/libcuda.so.1", Some("550.54.14"))));
        root.file("usr/lib64/libcuda.so.535.1", ELF);
        assert_eq!(root.cuda(""), Library::Found(place("/usr/lib64/libcuda.so.1", None)));
    }

    #[test]
    fn where_only_engines_put_it_the_loader_does_not_look() {
        let root = Root::new("wsl");
        root.file("usr/lib/wsl/lib/libcuda.so.1.1", ELF);
        root.link("libcuda.so.1.1", "usr/lib/wsl/lib/libcuda.so.1");
        assert_eq!(root.cuda(""), Library::NotSearched(place("/usr/lib/wsl/lib/libcuda.so.1", None)));
        assert_eq!(root.cuda("/usr/lib/wsl/lib"), Library::Found(place("/usr/lib/wsl/lib/libcuda.so.1", None)));
    }
}
