//! A day's work under the lock, behind the engine's own filter and without it.

use super::tried::open;
use takumi_test::container::Start;
use takumi_test::image::Image;
use takumi_test::require;

const WORK: &str = r#"
import multiprocessing, os, socket, sqlite3, subprocess, sys, tempfile, threading, asyncio
from concurrent.futures import ThreadPoolExecutor
def square(number): return number * number
if __name__ == '__main__':
    for method in ['fork', 'spawn', 'forkserver']:
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(square, range(4)) == [0, 1, 4, 9], method
    lock, queue = multiprocessing.Lock(), multiprocessing.Queue()
    queue.put(1); assert queue.get() == 1
    from multiprocessing import shared_memory
    memory = shared_memory.SharedMemory(create=True, size=4096); memory.buf[0] = 7; memory.close(); memory.unlink()
    with ThreadPoolExecutor(8) as pool: assert sum(pool.map(square, range(50))) == 40425
    assert subprocess.run(['sh', '-c', 'echo $((6 * 7)) | cat'], capture_output=True, text=True).stdout == '42\n'
    with tempfile.TemporaryDirectory() as place: open(place + '/x', 'w').close()
    database = sqlite3.connect('/data/db'); database.execute('pragma journal_mode=wal'); database.execute('create table t (x)')
    database.commit(); database.close()
    async def main():
        server = await asyncio.start_server(lambda reader, writer: (writer.write(b'hello'), writer.close()), '127.0.0.1', 8188)
        reader, _ = await asyncio.open_connection('127.0.0.1', 8188)
        assert await reader.read() == b'hello'
        server.close()
        child = await asyncio.create_subprocess_exec('true'); assert await child.wait() == 0
    asyncio.run(main())
    master, slave = os.openpty(); assert os.isatty(slave)
    os.kill(os.fork() or os._exit(0), 0)
    print('done')
"#;

#[test]
fn python_works() {
    require!(landlock, demo);
    let image = Image::demo();
    let program = format!(
        "open('/data/work.py', 'w').write({WORK:?}); import os; os.execvp('python3', ['python3', '/data/work.py'])"
    );
    for confine in ["off", "auto", "strict"] {
        let unfiltered = open(&image, confine).python(&program).run();
        assert_eq!((unfiltered.code, &unfiltered.stdout[..]), (0, "done\n"), "{confine}: {unfiltered:?}");
    }
    let hardened = Start::hardened(&image)
        .fresh_data()
        .env("TAKUMI_VOLUMES", "/data")
        .env("TAKUMI_CONFINE", "strict")
        .env("http_proxy", "http://127.0.0.1:8888")
        .env("TAKUMI_EGRESS", "off")
        .env("TAKUMI_HEALTH_URL", "http://127.0.0.1:8188/")
        .env("TAKUMI_LOG", "warn")
        .python(&program)
        .run();
    assert_eq!((hardened.code, &hardened.stdout[..]), (0, "done\n"), "{hardened:?}");
}
