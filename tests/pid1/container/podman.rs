//! One start under Podman, where it is installed beside docker.

use takumi_test::container::Start;
use takumi_test::image::Image;
use takumi_test::podman::Loaded;
use takumi_test::require;

#[test]
fn the_hardened_start_works_under_podman() {
    require!(demo, podman, runc);
    let image = Image::demo();
    let status = "cat /proc/1/status /proc/self/status | grep -E '^(Uid|CapBnd|CapPrm|NoNewPrivs)'; echo ok > /dev/stdout; exit 5";
    let start = Start::hardened(&image).fresh_data().env("TAKUMI_LOG", "warn").shell(status);
    let (_pod, ended) = Loaded::new(&image).run(&[], &start);
    let half = "Uid:\t1000\t1000\t1000\t1000\nCapPrm:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n";
    assert_eq!((ended.code, &ended.stdout), (5, &format!("{half}{half}ok\n")), "{ended:?}");
}
