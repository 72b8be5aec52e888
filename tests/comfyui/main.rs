//! What ComfyUI needs on a read-only root, in the image that scripts/build.sh makes: its launcher, its environment, and real
//! libraries (NumPy, Numba, Matplotlib, Hugging Face's, uv, pip, aiohttp) in the baked virtual environment. ComfyUI itself is the stand-in.
//! PyTorch, its compiler and Triton are Debian's, in an image of their own.
//!
//! Each test is skipped, with a line that says so, where no container engine answers, scripts/build.sh has not been run or pip
//! cannot have the libraries.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../container/engine.rs"]
mod engine;
#[allow(dead_code)]
#[path = "../container/start.rs"]
mod start;
#[path = "../container/torch.rs"]
mod torch;
#[path = "../container/wheels.rs"]
mod wheels;

mod caches;
mod compiled;
mod libraries;
mod packages;
mod proxy;
mod world;
