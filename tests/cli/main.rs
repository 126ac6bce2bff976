//! What a user sees: a throw-away world, a command, the exact output.

mod arguments;
mod bad_input;
mod bind;
mod completions;
mod descriptors;
mod digest;
mod documents;
mod doubts;
mod flight;
mod inputs;
mod key;
mod load;
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
