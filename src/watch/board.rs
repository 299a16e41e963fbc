//! What the monitor serves: the page, the status, the metrics, and checks for load balancers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::adapters::clock;
use crate::domain::alarm::UnixSeconds;
use crate::domain::chronicle::occurrence::Occurrences;
use crate::domain::page::metrics::{WatchFigures, metrics};
use crate::domain::page::serving::{Service, serves};
use crate::domain::page::{PageAnswer, PageView, Remembered, html};

/// The document that explains the findings.
const HEALTH: &str = include_str!("../../docs/health.md");

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
/// The text format of Prometheus.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The last look, and what is remembered of those before.
#[derive(Default)]
pub struct Board {
    inside: Mutex<OnBoard>,
}

#[derive(Default)]
struct OnBoard {
    view: Option<Arc<PageView>>,
    remembered: Arc<Remembered>,
    figures: WatchFigures,
    /// The page of this second: who asks often does not make it often.
    page: Option<(UnixSeconds, Arc<str>)>,
}

impl Board {
    /// Shows a look.
    pub fn show(&self, view: PageView, remembered: Remembered, figures: WatchFigures) {
        let mut inside = self.inside();
        inside.view = Some(Arc::new(view));
        inside.remembered = Arc::new(remembered);
        inside.figures = figures;
        inside.page = None;
    }

    /// Answers one request.
    #[must_use]
    pub fn answer(&self, path: &str) -> PageAnswer {
        let now = clock::seconds();
        let (view, remembered, figures) = {
            let inside = self.inside();
            (inside.view.clone(), Arc::clone(&inside.remembered), inside.figures)
        };
        let view = view.as_deref();
        match path {
            "/" => PageAnswer::ok(HTML, self.page(view, &remembered, now)),
            "/page.css" => PageAnswer::ok("text/css; charset=utf-8", html::CSS),
            "/page.js" => PageAnswer::ok("text/javascript; charset=utf-8", html::SCRIPT),
            "/icon.svg" => PageAnswer::ok("image/svg+xml", html::icon(view)),
            "/health" => PageAnswer::ok(HTML, html::explanation(HEALTH)),
            "/api/status" => match view {
                Some(view) => json(serde_json::to_string_pretty(&view.report)),
                None => not_yet(),
            },
            "/events" => {
                json(serde_json::to_string_pretty(&Occurrences::from(remembered.occurrences.clone())))
            }
            "/metrics" => match view {
                Some(view) => PageAnswer::ok(METRICS, metrics(view, figures)),
                None => not_yet(),
            },
            "/healthz" => match view {
                Some(view) if !view.is_stale(now) => PageAnswer::ok(TEXT, "the monitor looks at the pair\n"),
                _ => not_yet(),
            },
            "/primary" => served(view, Service::Writes, now),
            "/replica" => served(view, Service::Reads, now),
            _ => PageAnswer { status: 404, kind: TEXT, body: "This page does not exist.\n".into() },
        }
    }

    fn page(&self, view: Option<&PageView>, remembered: &Remembered, now: UnixSeconds) -> Arc<str> {
        if let Some((at, page)) = &self.inside().page
            && *at == now
        {
            return Arc::clone(page);
        }
        let page: Arc<str> = html::page(view, remembered, now).into();
        self.inside().page = Some((now, Arc::clone(&page)));
        page
    }

    fn inside(&self) -> MutexGuard<'_, OnBoard> {
        // A panic of another task leaves nothing half done in here.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_yet() -> PageAnswer {
    PageAnswer { status: 503, kind: TEXT, body: "The monitor has not checked the pair for a while.\n".into() }
}

fn json(text: serde_json::Result<String>) -> PageAnswer {
    match text {
        Ok(text) => PageAnswer::ok(JSON, format!("{text}\n")),
        Err(error) => PageAnswer { status: 500, kind: TEXT, body: format!("{error}\n").into() },
    }
}

fn served(view: Option<&PageView>, service: Service, now: UnixSeconds) -> PageAnswer {
    match serves(view, service, now) {
        Ok(()) => PageAnswer::ok(TEXT, "yes\n"),
        Err(why) => PageAnswer { status: 503, kind: TEXT, body: format!("no: {why}\n").into() },
    }
}
