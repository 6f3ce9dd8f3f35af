//! What the process itself takes of the machine, under the names that every Prometheus client uses. From `/proc`; where
//! there is none, these numbers are left out.

use std::{fs, sync::atomic::AtomicU64};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Ticks of a second as Linux tells them to programs, on every machine (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Puts the numbers of this moment into `registry`, which has no prefix.
pub fn register(registry: &mut Registry) {
    let mut gauge = |name: &str, help: &str, value: Option<f64>| {
        let Some(value) = value else { return };
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |key: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    gauge("process_resident_memory_bytes", "Memory in use", kilobytes("VmRSS:").map(|kb| kb * 1024.0));
    gauge("process_virtual_memory_bytes", "Memory reserved", kilobytes("VmSize:").map(|kb| kb * 1024.0));
    gauge("process_threads", "Threads", status.lines().find_map(|l| l.strip_prefix("Threads:")?.trim().parse().ok()));
    gauge(
        "process_open_fds",
        "Open file descriptors",
        fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count() as f64),
    );
    gauge("process_max_fds", "File descriptors that may be open", most_fds());
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may contain anything; what follows it are numbers, the third of the line first.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok());
    let begun = ticks(22).map(|since_boot| since_boot / TICKS);
    gauge("process_start_time_seconds", "When the process began, since 1970", booted().zip(begun).map(|(a, b)| a + b));
    if let Some((user, system)) = ticks(14).zip(ticks(15)) {
        let used = Counter::<f64, AtomicU64>::default();
        used.inc_by((user + system) / TICKS);
        registry.register("process_cpu_seconds", "Processor time used", used);
    }
}

fn most_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn booted() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}
