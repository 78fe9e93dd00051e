//! Faults on purpose, for tests alone: the environment variable `WEIR_TEST_PANIC` is `lane:N` or `worker:N`. Then each lane, or
//! each worker's thread, panics once, when it has got its `N`th frame.

/// When to panic.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    left: Option<usize>,
}

impl Fault {
    /// What is wanted of a worker's thread.
    pub fn of_worker() -> Self {
        Self::read("worker:")
    }

    /// After how many frames a lane panics; never, as a rule.
    pub fn of_lane() -> u64 {
        Self::read("lane:").left.map_or(u64::MAX, |left| left as u64)
    }

    fn read(of: &str) -> Self {
        let value = std::env::var("WEIR_TEST_PANIC").ok();
        Self { left: value.and_then(|value| value.strip_prefix(of)?.parse().ok()) }
    }

    /// So many frames have come.
    #[allow(clippy::panic, reason = "this is what it is for")]
    pub fn check(&mut self, frames: usize) {
        let Some(left) = &mut self.left else { return };
        if *left > frames {
            *left -= frames;
            return;
        }
        self.left = None;
        panic!("by WEIR_TEST_PANIC");
    }
}
