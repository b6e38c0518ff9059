//! Whether a batch is scored sooner on the GPU or on the CPU.

/// What scoring costs, measured at the start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Costs {
    /// Microseconds a token on one core.
    pub(super) cpu_token: f64,
    /// Microseconds of a call of the device, whatever it scores.
    pub(super) call: f64,
    /// Microseconds a token on the device.
    pub(super) gpu_token: f64,
    pub(super) cores: usize,
}

impl Costs {
    /// Whether the device is sooner.
    pub(super) fn device_pays(&self, queries: usize, tokens: f64) -> bool {
        let cores = self.cores.min(queries).max(1);
        #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
        let cpu = tokens * self.cpu_token / cores as f64;
        self.call + tokens * self.gpu_token < cpu
    }
}
