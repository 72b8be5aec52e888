//! The heap. A start that finds no memory must end in 125 with a line, not in SIGABRT; once COMMAND runs, PID 1
//! allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

/// Gives back what only the start needed: free pages of the heap, the child's stack and this stack below its present
/// end. What lay there is gone with it. A call that is refused costs memory, nothing else.
pub fn release_unused() {
    super::spawn::release_child_stack();
    let here = 0_u8;
    let end = (&raw const here as usize - LIVE_FRAMES) & !(PAGE - 1);
    // SAFETY: the pages lie below every live frame of this thread, and a stack page that is gone reads as zeroes when
    // it grows again. malloc_trim only touches what is free.
    unsafe {
        libc::madvise((end - MAX_START_STACK) as *mut libc::c_void, MAX_START_STACK, libc::MADV_DONTNEED);
        libc::malloc_trim(0);
    }
}

pub(super) const PAGE: usize = 4096;
/// More than this frame and that of the call to the kernel have below `here`.
const LIVE_FRAMES: usize = 1024;
/// How deep a start's stack may have been. Pages that were never there are no error.
const MAX_START_STACK: usize = 32 * PAGE;

/// What a program ends with that finds no memory: a start refuses.
static OUT_OF_MEMORY_CODE: AtomicU8 = AtomicU8::new(125);

/// From now on that is `code`: a probe has another word for it.
pub fn set_out_of_memory_code(code: u8) {
    OUT_OF_MEMORY_CODE.store(code, Relaxed);
}

struct ExitOnOutOfMemory;

#[global_allocator]
static ALLOCATOR: ExitOnOutOfMemory = ExitOnOutOfMemory;

fn exit_on_null(place: *mut u8) -> *mut u8 {
    if place.is_null() {
        let _ = super::io::write_stderr(
            b"init: error: cannot allocate memory (raise the container's memory limit)\n",
            Duration::from_secs(1),
        );
        super::process::exit(OUT_OF_MEMORY_CODE.load(Relaxed));
    }
    place
}

// SAFETY: every call goes to the system's allocator as it came; a NULL never comes back.
unsafe impl GlobalAlloc for ExitOnOutOfMemory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        exit_on_null(unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        exit_on_null(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        exit_on_null(unsafe { System.realloc(place, layout, size) })
    }
}
