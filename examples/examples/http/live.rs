//! What an engine's instances are doing, for people and for Prometheus.

use maud::{DOCTYPE, html};
use minirt::{Engine, EngineStats, Result};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// Returns a page that asks for itself again every two seconds.
pub(crate) fn page(stats: &EngineStats) -> Vec<u8> {
    let rows = [
        ("instances alive", stats.live as u64),
        ("idle slots", stats.idle as u64),
        ("KiB that idle slots keep", stats.kept_bytes as u64 / 1024),
        ("instances from a warm slot", stats.warm_instantiations),
        ("instances from a cold slot", stats.cold_instantiations),
        ("resets: nothing to do", stats.resets_nothing),
        ("resets by hot set", stats.resets_hot_set),
        ("resets by regions", stats.resets_regions),
        ("resets by scan", stats.resets_scan),
        ("resets by discard", stats.resets_discard),
    ];
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content="2";
                link rel="icon" href="data:,";
                title { "minirt" }
                style { ":root { color-scheme: light dark } body { font: 16px system-ui; margin: 2rem } td { text-align: right; padding-left: 2rem } th { text-align: left }" }
            }
            body {
                h1 { "Instances of this server" }
                table { @for (name, value) in rows { tr { th scope="row" { (name) } td { (value) } } } }
                p { a href="/metrics" { "The same for Prometheus" } }
            }
        }
    };
    page.into_string().into_bytes()
}

/// Returns the figures in Prometheus' text format.
pub(crate) fn metrics(engine: &Engine) -> Result<Vec<u8>> {
    let mut registry = Registry::with_prefix("minirt");
    registry.register_collector(Box::new(Figures(engine.clone())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text.into_bytes())
}

/// An engine whose figures are read when somebody asks for them.
#[derive(Debug)]
struct Figures(Engine);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let stats = self.0.stats();
        let gauges = [
            ("instances_live", "Instances that are alive", None, stats.live),
            ("slots_idle", "Slots that wait for their next instance", None, stats.idle),
            ("kept", "Memory that idle slots keep", Some(&Unit::Bytes), stats.kept_bytes),
        ];
        for (name, help, unit, value) in gauges {
            ConstGauge::new(value as i64).encode(encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?)?;
        }
        let slots = [("warm", stats.warm_instantiations), ("cold", stats.cold_instantiations)];
        let ways = [
            ("nothing", stats.resets_nothing),
            ("hot_set", stats.resets_hot_set),
            ("regions", stats.resets_regions),
            ("scan", stats.resets_scan),
            ("discard", stats.resets_discard),
        ];
        let made = "Instances that were made, by the slot that they got";
        counters(&mut encoder, "instantiations", made, "slot", &slots)?;
        let ended = "Instances that ended, by the way in which their slot was reset";
        counters(&mut encoder, "resets", ended, "way", &ways)
    }
}

/// Writes counters that differ in one label.
fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: &[(&str, u64)],
) -> std::fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    values
        .iter()
        .try_for_each(|(value, count)| ConstCounter::new(*count).encode(family.encode_family(&[(label, *value)])?))
}
