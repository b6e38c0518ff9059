//! Progress of long work on standard error: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::output::{count, note};
use crate::terminal::on_one_line;

/// Seconds between two lines where there is no terminal.
const QUIET: Duration = Duration::from_secs(10);

/// Shows how far a stage is, at which rate, and when it will end.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    name: String,
    begun: Instant,
    base: u64,
    /// What the stage was last said to come to.
    total: Option<u64>,
    told: Option<Instant>,
    /// How far the stage is, with its unit.
    done: u64,
    unit: String,
    /// What the last line of the stage said.
    shown: Option<u64>,
}

impl Progress {
    /// `quiet` shows nothing at all.
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::no_length();
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let told = quiet.then(|| Instant::now() + Duration::from_secs(u64::from(u32::MAX)));
        Self {
            bar,
            state: Mutex::new(State {
                name: String::new(),
                begun: Instant::now(),
                base: 0,
                total: None,
                told,
                done: 0,
                unit: String::new(),
                shown: None,
            }),
        }
    }

    /// Begins a stage that starts at `base` (work done by an earlier run does not count in rates).
    pub(crate) fn stage(&self, name: &str, base: u64) {
        if let Ok(mut state) = self.state.lock() {
            end(&mut state);
            state.name = name.to_owned();
            state.begun = Instant::now();
            (state.base, state.done, state.total) = (base, base, None);
        }
        if let Some(bar) = &self.bar {
            bar.reset();
            bar.set_position(base);
            bar.set_message(on_one_line(name).into_owned());
        }
    }

    /// Tells how far the stage is; `total` may be an estimate, left as it was, or unknown.
    #[expect(clippy::cast_precision_loss, reason = "rates are shown with three digits")]
    pub(crate) fn set(&self, done: u64, total: Option<u64>, unit: &str, extra: &str) {
        let Ok(mut state) = self.state.lock() else { return };
        let total = total.or(state.total);
        state.total = total;
        state.done = done;
        unit.clone_into(&mut state.unit);
        let seconds = state.begun.elapsed().as_secs_f64();
        let rate =
            if seconds > 0.0 { done.saturating_sub(state.base) as f64 / seconds } else { 0.0 };
        let left = total.filter(|_| rate > 0.0).map(|t| t.saturating_sub(done) as f64 / rate);
        if let Some(bar) = &self.bar {
            let style = if total.is_some() {
                "{msg} [{bar:30}] {pos}/{len} {prefix}"
            } else {
                "{spinner} {msg} {pos} {prefix}"
            };
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.set_position(done);
            bar.set_prefix(describe(rate, unit, left, extra));
            return;
        }
        // Nothing is done yet: the stage may be over before there is anything to tell.
        if done == state.base && total.is_some() {
            return;
        }
        if state
            .told
            .is_none_or(|t| Instant::now().checked_duration_since(t).is_some_and(|d| d >= QUIET))
        {
            state.told = Some(Instant::now());
            state.shown = Some(done);
            let of = total.map_or(String::new(), |t| format!(" of {}", count(t)));
            note(format!(
                "{}: {}{of} {}",
                state.name,
                count(done),
                describe(rate, unit, left, extra)
            ));
        }
    }

    /// Removes the bar, or ends the stage's lines with the count where that was not known before.
    pub(crate) fn finish(&self) {
        if let Ok(mut state) = self.state.lock() {
            end(&mut state);
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Says how far a stage without a total came, if a line said less.
fn end(state: &mut State) {
    let shown = state.shown.take();
    if state.total.is_none() && shown.is_some_and(|shown| shown != state.done) {
        note(format!("{}: {} {}", state.name, count(state.done), state.unit).trim_end());
    }
}

fn describe(rate: f64, unit: &str, left: Option<f64>, extra: &str) -> String {
    let eta = left.filter(|s| s.is_finite() && *s < 1e9).map_or(String::new(), |s| {
        format!(", ETA {}", HumanDuration(Duration::from_secs_f64(s.max(0.0))))
    });
    let extra = if extra.is_empty() { String::new() } else { format!(", {extra}") };
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    let digits = if rate < 10.0 { 1 } else { 0 };
    format!("({rate:.digits$}{unit}/s{extra}{eta})")
}
