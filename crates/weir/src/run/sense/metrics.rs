//! What a sensor or a tap tells Prometheus, over HTTP: `/metrics`, and `/healthz` for those who ask whether it works.
//!
//! Promises: the server has a thread of its own and never touches the packet path; what it tells is a [`Snapshot`], taken when it is
//! asked. Names and units follow Prometheus' conventions; values of the label `reason` are those of the ledger's `Reason`. Every
//! metric stands in [`ALL`], from which the table in docs/operations.md is made.
//!
//! Source: OpenMetrics 1.0; Prometheus' text format 0.0.4.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use axum::Router;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;

use super::snapshot::Snapshot;
use super::worker::Shared;

mod names;
mod text;

/// Who tells of itself, whenever it is asked.
pub trait Telling: Send + Sync + 'static {
    /// What it tells.
    fn snapshot(&self) -> Snapshot;

    /// What is wrong, if something is.
    fn trouble(&self) -> Option<&'static str>;
}

impl Telling for Shared {
    fn snapshot(&self) -> Snapshot {
        Snapshot::take(self)
    }

    /// Every worker makes progress, as the watchdog sees it.
    fn trouble(&self) -> Option<&'static str> {
        (!self.makes_progress(now())).then_some("a worker makes no progress\n")
    }
}

/// Where metrics are served, opened but not served yet.
pub struct Metrics(TcpListener);

impl Metrics {
    /// Takes `address`, which stands in `table` of the configuration.
    ///
    /// # Errors
    /// It is no address, or somebody else has it.
    pub fn open(address: &str, table: &str) -> anyhow::Result<Self> {
        let failed = || {
            format!(
                "metrics are not served at {address}: another place is [{table}] metrics = \"ADDRESS:PORT\", \"\" turns them off"
            )
        };
        let address: SocketAddr = address.parse().with_context(failed)?;
        let listener = TcpListener::bind(address).with_context(failed)?;
        listener.set_nonblocking(true).with_context(failed)?;
        Ok(Self(listener))
    }

    /// Serves as long as the process lives.
    ///
    /// # Errors
    /// There is no thread.
    pub fn serve<T: Telling>(self, shared: &Arc<T>) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start what serves metrics")?;
        let shared = Arc::clone(shared);
        let serve = move || {
            let served = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(self.0)?;
                axum::serve(listener, routes(shared)).await
            });
            if let Err(error) = served {
                super::super::complain(&anyhow::Error::new(error).context("metrics are not served any more"));
            }
        };
        std::thread::Builder::new().name("metrics".into()).spawn(serve).context("cannot start a thread")?;
        Ok(())
    }
}

fn routes<T: Telling>(shared: Arc<T>) -> Router {
    let healthy = Arc::clone(&shared);
    Router::new()
        .route("/metrics", get(move |headers: HeaderMap| async move { metrics(&*shared, &headers) }))
        .route("/healthz", get(move || async move { health(&*healthy) }))
        .route("/", get(|| async { "weir: /metrics, /healthz\n" }))
}

fn metrics<T: Telling>(shared: &T, headers: &HeaderMap) -> impl IntoResponse + use<T> {
    let wanted = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let open = wanted.contains("application/openmetrics-text");
    let (kind, text) = match (text::encode(&shared.snapshot()), open) {
        (Ok(text), true) => ("application/openmetrics-text; version=1.0.0; charset=utf-8", text),
        (Ok(text), false) => ("text/plain; version=0.0.4; charset=utf-8", text::classic(&text)),
        (Err(error), _) => return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    };
    ([(CONTENT_TYPE, kind)], text).into_response()
}

/// 200 while nothing is wrong.
fn health(shared: &impl Telling) -> (StatusCode, &'static str) {
    shared.trouble().map_or((StatusCode::OK, "ok\n"), |what| (StatusCode::SERVICE_UNAVAILABLE, what))
}

#[allow(clippy::disallowed_methods, reason = "progress is measured by the clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_taken_or_none_is_told_with_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = Metrics::open(&taken.local_addr().unwrap().to_string(), "sense").err().unwrap();
        assert!(format!("{error:#}").contains("turns them off"), "{error:#}");
        assert!(Metrics::open("here", "sense").is_err());
    }

    #[test]
    fn a_sensor_is_healthy_until_a_worker_is_silent_for_too_long() {
        let shared = Shared::new(2, String::new());
        shared.workers.store(2, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(health(&shared).0, StatusCode::OK);
        let later = now() + super::super::worker::STUCK;
        assert!(!shared.makes_progress(later));
        shared.status.iter().for_each(|place| place.lock().unwrap().told = Some(later));
        assert!(shared.makes_progress(later));
    }
}
