/// A grade with the coefficient of variation and p99 / p50 that it needs; below the last, calls are poor.
private let grades = [("excellent", 0.05, 1.1), ("good", 0.10, 1.25), ("moderate", 0.20, 1.5)]
/// Fewer calls say nothing of the slowest hundredth.
private let leastGraded = 20

/// The figures of calls in microseconds, as the kit's results name them. first: the call right after loading.
func latency(_ calls: [Double], first: Double) -> [String: Any] {
    let (sorted, count) = (calls.sorted(), calls.count)
    let at = { percentile(sorted, $0) }
    let mean = average(sorted[...])
    let spread = mean.flatMap { mean in
        count < 2 ? nil : (sorted.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count - 1)).squareRoot()
    }
    let variation = spread.flatMap { spread in mean.map { spread / $0 } }
    let tail = at(99).flatMap { high in at(50).map { high / $0 } }
    let ratio = count < leastGraded ? nil : tail
    let grade = ratio.map { ratio in grades.first { (variation ?? 0) <= $0.1 && ratio <= $0.2 }?.0 ?? "poor" }
    return nullable([
        "samples": count == 0 ? [] : [calls], "count": count, "first": first, "mean": mean, "std": spread,
        "min": sorted.first, "max": sorted.last, "p5": at(5), "p10": at(10), "p50": at(50), "p90": at(90),
        "p95": at(95), "p99": at(99), "cv": variation, "p99_p50": tail, "stability": grade,
        "trimmed_mean_80": average(sorted.dropFirst(count / 10).dropLast(count / 10)),
    ])
}

private func average(_ values: ArraySlice<Double>) -> Double? {
    values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
}

/// Between the two nearest of sorted values.
private func percentile(_ sorted: [Double], _ percent: Double) -> Double? {
    guard let last = sorted.indices.last else { return nil }
    let place = Double(last) * percent / 100
    let (low, part) = (Int(place), place - place.rounded(.down))
    return sorted[low] + part * (sorted[min(low + 1, last)] - sorted[low])
}
