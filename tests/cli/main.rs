//! What a user sees: a throw-away world, a command, the exact output.

mod bad_input;
mod call;
mod contains;
mod descriptors;
mod digest;
mod documents;
mod doubts;
mod explain;
mod flight;
mod inputs;
mod key;
mod make;
mod mask;
mod outputs;
mod policy;
mod probe;
mod readme;
mod show;
mod stdin;
mod store;
mod table;
mod terminal;
mod tidy;
mod transparency;
mod world;
