//! What ComfyUI needs on a read-only root, in the image that scripts/build.sh makes: its launcher, its environment, and real
//! libraries (NumPy, Numba, Matplotlib, Hugging Face's, uv, pip, aiohttp) in the baked virtual environment. ComfyUI itself is the stand-in.
//! PyTorch, its compiler and Triton are Debian's, in an image of their own.

mod caches;
mod compiled;
mod libraries;
mod packages;
mod proxy;
mod world;
