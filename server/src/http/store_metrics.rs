//! Metrics of a folder of collections, in Prometheus' text format: what is encoded, and what is free.

use std::fmt::Write;

use quarry_engine::store::{EncodeFigures, Room, Store};

/// The figures of a store.
pub(crate) fn of_store(store: &Store) -> String {
    written(&encoding(&store.encoding())) + &written(&room(&store.room()))
}

/// A metric without labels.
struct Figure {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: String,
}

fn gauge(name: &'static str, help: &'static str, value: &impl ToString) -> Figure {
    Figure { name, kind: "gauge", help, value: value.to_string() }
}

fn counter(name: &'static str, help: &'static str, value: &impl ToString) -> Figure {
    Figure { name, kind: "counter", help, value: value.to_string() }
}

fn encoding(of: &EncodeFigures) -> Vec<Figure> {
    vec![
        gauge(
            "quarry_encode_queue_bytes",
            "Bytes of texts that wait to be encoded.",
            &of.waiting_bytes,
        ),
        gauge("quarry_encode_queue_bytes_limit", "Most of them.", &of.most_bytes),
        gauge(
            "quarry_encode_queue_oldest_seconds",
            "How long the oldest of them has waited.",
            &of.oldest.as_secs_f64(),
        ),
        counter(
            "quarry_encode_documents_total",
            "Documents whose texts were encoded.",
            &of.documents,
        ),
        counter("quarry_encode_passages_total", "Their passages, or whole texts.", &of.rows),
        counter(
            "quarry_encode_tokens_total",
            "Tokens that the encoder of sparse vectors read of them.",
            &of.tokens,
        ),
        counter("quarry_encode_failed_total", "Passages that could not be encoded.", &of.failed),
        counter("quarry_encode_batches_total", "Batches that were encoded.", &of.batches),
        counter(
            "quarry_encode_busy_seconds_total",
            "Time of these batches.",
            &of.busy.as_secs_f64(),
        ),
    ]
}

fn room(room: &Room) -> Vec<Figure> {
    let free = [
        room.disk.map(|free| {
            gauge("quarry_disk_free_bytes", "Bytes that are free on the disk of the data.", &free)
        }),
        room.memory.map(|free| {
            gauge("quarry_memory_free_bytes", "Bytes of memory that can still be had.", &free)
        }),
    ];
    let floors = [
        gauge(
            "quarry_disk_floor_bytes",
            "Free bytes of the disk below which no documents are taken.",
            &room.least_disk,
        ),
        gauge(
            "quarry_memory_floor_bytes",
            "Free bytes of memory below which no documents are taken.",
            &room.least_memory,
        ),
        gauge(
            "quarry_read_only",
            "1 while no documents are taken, for want of disk or memory.",
            &u8::from(room.low().is_some()),
        ),
    ];
    free.into_iter().flatten().chain(floors).collect()
}

fn written(figures: &[Figure]) -> String {
    let mut text = String::new();
    for Figure { name, kind, help, value } in figures {
        // Writing to a string does not fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
    }
    text
}
