//! The sandbox's calls answer behind the profile.

use super::{Changed, PROFILE, behind};
use takumi_test::container::Start;
use takumi_test::image::Image;
use takumi_test::require;

/// Builds a domain in which nothing new can be made, enters it and tries.
const LOCK: &str = "
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *words):
    result = libc.syscall(number, *words)
    if result < 0: raise SystemExit(f'{number}: {os.strerror(ctypes.get_errno())}')
    return result
abi = call(444, None, ctypes.c_long(0), 1)
MAKE_REG, WRITE_FILE = 1 << 8, 1 << 1
ruleset = call(444, ctypes.byref(ctypes.c_uint64(MAKE_REG)), ctypes.c_long(8), 0)
class Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [('access', ctypes.c_uint64), ('directory', ctypes.c_int32)]
os.mkdir('/data/open'); os.mkdir('/data/shut')
rule = Beneath(MAKE_REG, os.open('/data/open', os.O_PATH))
call(445, ruleset, 1, ctypes.byref(rule), 0)
call(446, ruleset, 0)
open('/data/open/file', 'w').close()
try:
    open('/data/shut/file', 'w').close()
    print('not held')
except PermissionError:
    print('held')
";

fn lock(image: &Image, profile: &str) -> (i32, String) {
    let security = behind(profile);
    let security: Vec<&str> = security.iter().map(String::as_str).collect();
    let start = Start::hardened(image).fresh_data().options(&security).env("TAKUMI_LOG", "warn");
    let ended = start.python(LOCK).run();
    (ended.code, format!("{}{}", ended.stdout, ended.stderr))
}

#[test]
fn landlock_answers() {
    require!(landlock, demo);
    let image = Image::demo();
    assert_eq!(lock(&image, PROFILE), (0, "held\n".to_owned()));

    let without = Changed::new(|text| text.replace("\"landlock_create_ruleset\",", ""));
    let (code, said) = lock(&image, without.path.to_str().unwrap());
    assert!(code == 1 && said.contains("444: "), "control: a profile without the call: {code} {said}");
}
