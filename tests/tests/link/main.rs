//! The way to a chip: links, frames, sessions, recordings, and everything that can go wrong on it.

mod corpus;
mod hostile;
mod link_table;
mod links;
mod plasticity;
mod recording;
mod session;
mod trouble;
mod wire_goldens;
