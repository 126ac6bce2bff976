//! What the parts of recognition do together, in small worlds of files.

mod changes;
mod commands;
mod facets;
mod inputs;
mod inventories;
mod laws;
mod programs;
mod pure;
mod traced;
mod world;
