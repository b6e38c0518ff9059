//! Metrics for Prometheus. Each server has its own recorder instead of the process-wide one, so that
//! several servers in one process do not mix.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use metrics::{Key, Label, Level, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{
    BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use super::admission::Admission;
use super::writes::Writes;
use crate::Engine;
use crate::api::{Timings, WriteTimings};

const REQUESTS: &str = "quarry_http_requests_total";
const REQUEST_SECONDS: &str = "quarry_http_request_seconds";
const STAGE_SECONDS: &str = "quarry_search_stage_seconds";
const WRITE_STAGE_SECONDS: &str = "quarry_write_stage_seconds";
const REJECTED: &str = "quarry_searches_rejected_total";
const WRITES_REJECTED: &str = "quarry_writes_rejected_total";
const WRITES: &str = "quarry_writes_waiting";
const BEHIND: &str = "quarry_follow_behind_seconds";
const IN_FLIGHT: &str = "quarry_searches_in_flight";
const QUEUED: &str = "quarry_searches_queued";

/// Gauges of each collection, with its name as a label.
const OF_COLLECTIONS: [OfCollection; 9] = [
    OfCollection {
        name: "quarry_documents",
        help: "Documents of the generation served.",
        value: |served| served.engine.collection().snapshot().index().manifest().documents(),
    },
    OfCollection {
        name: "quarry_index_generation",
        help: "Generation served.",
        value: |served| served.engine.collection().snapshot().version().generation,
    },
    OfCollection {
        name: "quarry_segments",
        help: "Segments of the generation served.",
        value: |served| {
            let segments = served.engine.collection().snapshot().index().segments().len();
            u64::try_from(segments).unwrap_or(u64::MAX)
        },
    },
    OfCollection {
        name: "quarry_change",
        help: "Number of the last change that searches see; 0 for a collection that is only read.",
        value: |one| one.engine.progress().map_or(0, |progress| progress.visible),
    },
    OfCollection {
        name: "quarry_change_sealed",
        help: "Number of the last change that is in a sealed generation.",
        value: |one| one.engine.progress().map_or(0, |progress| progress.sealed),
    },
    OfCollection {
        name: "quarry_log_bytes",
        help: "Bytes of changes that are logged and not sealed.",
        value: |one| one.engine.progress().map_or(0, |progress| progress.log_bytes),
    },
    OfCollection {
        name: "quarry_unsealed_milliseconds",
        help: "How long the oldest logged change has waited to be sealed.",
        value: |one| {
            let unsealed =
                one.engine.progress().map_or(0, |progress| progress.unsealed.as_millis());
            u64::try_from(unsealed).unwrap_or(u64::MAX)
        },
    },
    OfCollection {
        name: "quarry_changes_unmade",
        help: "Logged changes that wait for room on the disk, and that searches do not see.",
        value: |one| {
            let unmade = one.engine.progress().map_or(0, |progress| progress.unmade);
            u64::try_from(unmade).unwrap_or(u64::MAX)
        },
    },
    OfCollection {
        name: "quarry_generation_refused",
        help: "1 while a newer generation cannot be opened.",
        value: |served| u64::from(served.refused),
    },
];

struct OfCollection {
    name: &'static str,
    help: &'static str,
    value: fn(&Served) -> u64,
}

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 16] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 60.0,
];

static METADATA: Metadata<'static> =
    Metadata::new("quarry_server", Level::INFO, Some(module_path!()));

/// A collection that is loaded.
#[derive(Debug)]
pub(crate) struct Served {
    /// Its name, of letters, digits and `-_.` only.
    pub(crate) name: String,
    pub(crate) engine: Arc<Engine>,
    /// Whether a newer generation cannot be opened.
    pub(crate) refused: bool,
}

pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder();
        let counters = [
            (REQUESTS, "Requests answered, by route, method and status."),
            (REJECTED, "Searches refused because too many were waiting."),
            (WRITES_REJECTED, "Writes refused because too many were waiting."),
        ];
        for (name, text) in counters {
            recorder.describe_counter(name.into(), None, SharedString::const_str(text));
        }
        let gauges = [
            (IN_FLIGHT, "Searches running."),
            (QUEUED, "Searches waiting."),
            (WRITES, "Writes running or waiting."),
            (BEHIND, "Seconds since all was taken that the leader had sealed."),
        ];
        for (name, text) in gauges {
            recorder.describe_gauge(name.into(), None, SharedString::const_str(text));
        }
        let histograms = [
            (REQUEST_SECONDS, "Time to answer, by route."),
            (
                STAGE_SECONDS,
                "Time of a search's stages: queue, encode, search, and where there are such: feedback, second_search, fuse, tokens, rerank.",
            ),
            (
                WRITE_STAGE_SECONDS,
                "Time of the stages of a write of documents: parse, queue, encode, write, log.",
            ),
        ];
        for (name, text) in histograms {
            let text = SharedString::const_str(text);
            recorder.describe_histogram(name.into(), Some(Unit::Seconds), text);
        }
        let handle = recorder.handle();
        let metrics = Self { recorder, handle };
        // Present as 0 from the start, so that a first rejection shows as an increase.
        metrics.count(REJECTED, Vec::new(), 0);
        metrics.count(WRITES_REJECTED, Vec::new(), 0);
        Ok(metrics)
    }

    /// Counts a request that was answered.
    pub(crate) fn request(&self, route: &str, method: &'static str, status: u16, time: Duration) {
        let route = Label::new("route", route.to_owned());
        let labels = vec![
            route.clone(),
            Label::from_static_parts("method", method),
            Label::new("status", status.to_string()),
        ];
        self.count(REQUESTS, labels, 1);
        self.time(REQUEST_SECONDS, vec![route], time);
    }

    /// Records the time of a stage of a search.
    pub(crate) fn stage(&self, stage: &'static str, time: Duration) {
        self.time(STAGE_SECONDS, vec![Label::from_static_parts("stage", stage)], time);
    }

    /// Records the stages of a search; those that it did not have are left out.
    pub(crate) fn search_stages(&self, timings: &Timings) {
        let Timings { encode, search, feedback, second_search, fuse, tokens, rerank } = *timings;
        self.stage("encode", Duration::from_micros(encode));
        self.stage("search", Duration::from_micros(search));
        let further = [
            ("feedback", feedback),
            ("second_search", second_search),
            ("fuse", fuse),
            ("tokens", tokens),
            ("rerank", rerank),
        ];
        for (stage, micros) in further.into_iter().filter(|(_, micros)| *micros > 0) {
            self.stage(stage, Duration::from_micros(micros));
        }
    }

    /// Records the stages of a write of documents.
    pub(crate) fn write_stages(&self, timings: &WriteTimings) {
        let WriteTimings { parse, queue, encode, write, log } = *timings;
        let stages = [
            ("parse", parse),
            ("queue", queue),
            ("encode", encode),
            ("write", write),
            ("log", log),
        ];
        for (stage, micros) in stages {
            let labels = vec![Label::from_static_parts("stage", stage)];
            self.time(WRITE_STAGE_SECONDS, labels, Duration::from_micros(micros));
        }
    }

    /// Counts a search that was refused because too many were waiting.
    pub(crate) fn rejected(&self) {
        self.count(REJECTED, Vec::new(), 1);
    }

    /// Counts a write that was refused because too many were waiting.
    pub(crate) fn write_rejected(&self) {
        self.count(WRITES_REJECTED, Vec::new(), 1);
    }

    /// Sets the time since a follower was level with its leader.
    pub(crate) fn behind(&self, time: Duration) {
        self.set(BEHIND, time.as_secs());
    }

    /// Moves recorded times into their buckets; must be called regularly, or they pile up.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// All metrics in Prometheus' text format. Those of collections are written here: a recorder would keep them
    /// after their collection is gone.
    pub(crate) fn render(
        &self,
        admission: &Admission,
        writes: &Writes,
        served: &[Served],
    ) -> String {
        self.set(WRITES, u64::try_from(writes.waiting()).unwrap_or(u64::MAX));
        self.set(IN_FLIGHT, u64::try_from(admission.in_flight()).unwrap_or(u64::MAX));
        self.set(QUEUED, u64::try_from(admission.queued()).unwrap_or(u64::MAX));
        let mut text = self.handle.render();
        for OfCollection { name, help, value } in OF_COLLECTIONS {
            // Writing to a string does not fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
            for one in served {
                let _ = writeln!(text, "{name}{{collection=\"{}\"}} {}", one.name, value(one));
            }
            text.push('\n');
        }
        text
    }

    fn count(&self, name: &'static str, labels: Vec<Label>, by: u64) {
        let key = Key::from_parts(name, labels);
        self.recorder.register_counter(&key, &METADATA).increment(by);
    }

    fn time(&self, name: &'static str, labels: Vec<Label>, time: Duration) {
        let key = Key::from_parts(name, labels);
        self.recorder.register_histogram(&key, &METADATA).record(time);
    }

    #[expect(clippy::cast_precision_loss, reason = "Prometheus has only floats")]
    fn set(&self, name: &'static str, value: u64) {
        let key = Key::from_static_name(name);
        self.recorder.register_gauge(&key, &METADATA).set(value as f64);
    }
}
