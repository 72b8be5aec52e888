//! scripts/up.sh and scripts/build.sh: the whole stack on each kind of engine, the image that it runs, and what is refused.

mod build;
mod compose;
mod image;
mod refusals;
mod rootful;
mod rootless;
mod stack;
