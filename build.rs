//! How `init` alone is linked; test programs, which unwind, are linked as ever.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/no_unwind.ld");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bin=init=-Wl,-T,{script}");
    println!("cargo:rustc-link-arg-bin=init=-Wl,--no-eh-frame-hdr");
    // 8 bytes for up to 63 relocations instead of 24 for each: 40 KB less to read at every start (glibc 2.36 and newer).
    println!("cargo:rustc-link-arg-bin=init=-Wl,-z,pack-relative-relocs");
}
