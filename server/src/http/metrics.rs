//! Metrics for Prometheus. Each server has its own recorder instead of the process-wide one, so that
//! several servers in one process do not mix.

use std::fmt;
use std::time::Duration;

use metrics::{Key, Label, Level, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{
    BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use super::admission::Admission;
use crate::Engine;

const REQUESTS: &str = "quarry_http_requests_total";
const REQUEST_SECONDS: &str = "quarry_http_request_seconds";
const STAGE_SECONDS: &str = "quarry_search_stage_seconds";
const REJECTED: &str = "quarry_searches_rejected_total";
const IN_FLIGHT: &str = "quarry_searches_in_flight";
const QUEUED: &str = "quarry_searches_queued";
const DOCUMENTS: &str = "quarry_documents";
const GENERATION: &str = "quarry_index_generation";

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 16] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 60.0,
];

static METADATA: Metadata<'static> =
    Metadata::new("quarry_server", Level::INFO, Some(module_path!()));

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
        ];
        for (name, text) in counters {
            recorder.describe_counter(name.into(), None, SharedString::const_str(text));
        }
        let gauges = [
            (IN_FLIGHT, "Searches running."),
            (QUEUED, "Searches waiting."),
            (DOCUMENTS, "Documents of the index served."),
            (GENERATION, "Generation of the index served."),
        ];
        for (name, text) in gauges {
            recorder.describe_gauge(name.into(), None, SharedString::const_str(text));
        }
        let histograms = [
            (REQUEST_SECONDS, "Time to answer, by route."),
            (STAGE_SECONDS, "Time of a search's stages: queue, encode, search."),
        ];
        for (name, text) in histograms {
            let text = SharedString::const_str(text);
            recorder.describe_histogram(name.into(), Some(Unit::Seconds), text);
        }
        let handle = recorder.handle();
        let metrics = Self { recorder, handle };
        // Present as 0 from the start, so that a first rejection shows as an increase.
        metrics.count(REJECTED, Vec::new(), 0);
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

    /// Counts a search that was refused because too many were waiting.
    pub(crate) fn rejected(&self) {
        self.count(REJECTED, Vec::new(), 1);
    }

    /// Moves recorded times into their buckets; must be called regularly, or they pile up.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// All metrics in Prometheus' text format; `engine` is the one that is loaded.
    pub(crate) fn render(&self, admission: &Admission, engine: Option<&Engine>) -> String {
        self.set(IN_FLIGHT, u64::try_from(admission.in_flight()).unwrap_or(u64::MAX));
        self.set(QUEUED, u64::try_from(admission.queued()).unwrap_or(u64::MAX));
        if let Some(engine) = engine {
            let snapshot = engine.collection().snapshot();
            self.set(DOCUMENTS, snapshot.index().manifest().documents());
            self.set(GENERATION, snapshot.version().generation);
        }
        self.handle.render()
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
