//! Tests of the server through a real socket: answers, errors, and behaviour under load.

#[cfg(test)]
mod aliases;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod collections;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod copying;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod exporting;
#[cfg(test)]
mod fields;
#[cfg(test)]
mod following;
#[cfg(test)]
mod index;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod load;
#[cfg(test)]
mod many;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod patches;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod server;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod transport;
#[cfg(test)]
mod versions;
