//! The service through a real socket: what it answers, what it refuses, and how it bears load.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod index;
#[cfg(test)]
mod load;
#[cfg(test)]
mod server;
