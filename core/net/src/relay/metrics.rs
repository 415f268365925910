//! Counters, as Prometheus reads them (its text format, version 0.0.4).

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// What is counted, by name. No number has a label: nothing here tells of one peer, or of one address.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<BTreeMap<&'static str, Metric>>>);

#[derive(Debug)]
struct Metric {
    kind: &'static str,
    help: &'static str,
    value: Arc<AtomicU64>,
}

/// A number that grows.
#[derive(Clone, Debug)]
pub struct Counter(Arc<AtomicU64>);

/// A number that goes up and down.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<AtomicU64>);

impl Metrics {
    /// The counter with this name, by custom ending in `_total`; it is made at the first call.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        Counter(self.value("counter", name, help))
    }

    /// The gauge with this name; it is made at the first call.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        Gauge(self.value("gauge", name, help))
    }

    /// All of them as text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (name, metric) in &*self.lock() {
            let Metric { kind, help, value } = metric;
            let value = value.load(Ordering::Relaxed);
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
            );
        }
        text
    }

    fn value(&self, kind: &'static str, name: &'static str, help: &'static str) -> Arc<AtomicU64> {
        let mut all = self.lock();
        let metric = all.entry(name).or_insert_with(|| Metric {
            kind,
            help,
            value: Arc::default(),
        });
        Arc::clone(&metric.value)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Metric>> {
        // Nothing panics while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Sets it to what has been counted elsewhere.
    pub fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// One more.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less; never below none.
    pub fn decrement(&self) {
        let less = |value: u64| value.checked_sub(1);
        // It is none already, if this fails.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// So many now.
    pub fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown_in_the_order_of_names() {
        let metrics = Metrics::default();
        let places = metrics.gauge("b_places", "Places now.");
        metrics.counter("a_total", "Calls.").add(3);
        metrics.counter("a_total", "Calls.").increment();
        places.decrement();
        places.increment();
        places.increment();
        places.decrement();
        let expected = "# HELP a_total Calls.\n# TYPE a_total counter\na_total 4\n\
                        # HELP b_places Places now.\n# TYPE b_places gauge\nb_places 1\n";
        assert_eq!(metrics.render(), expected);
    }
}
