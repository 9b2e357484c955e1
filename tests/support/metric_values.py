"""Values of metrics, by the client's public samples."""

from prometheus_client.metrics import MetricWrapperBase


def value_of(metric: MetricWrapperBase) -> float:
    """Return the value of a counter or a gauge: one without labels, or the child of some labels."""
    samples = [sample for family in metric.collect() for sample in family.samples]
    (value,) = (sample.value for sample in samples if not sample.name.endswith("_created"))
    return float(value)
