//! argv to verb, nothing else.
#![no_main]

takumi_init::entry!(takumi_init::programs::init);
