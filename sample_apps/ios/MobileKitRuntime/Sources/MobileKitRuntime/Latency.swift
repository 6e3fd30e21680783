/// A grade with the coefficient of variation and p99 / p50 that it needs; below the last, calls are poor.
private let grades = [("excellent", 0.05, 1.1), ("good", 0.10, 1.25), ("moderate", 0.20, 1.5)]
/// Fewer calls say nothing of the slowest hundredth.
private let leastGraded = 20

/// The figures of calls in microseconds, one or more, as the kit's results name them. first: the call right after
/// loading.
func latency(_ calls: [Double], first: Double) -> [String: Any] {
    let (sorted, count, mean) = (calls.sorted(), calls.count, average(calls[...]))
    let squares = sorted.map { ($0 - mean) * ($0 - mean) }.reduce(0, +)
    // One call has no spread.
    let spread = count < 2 ? nil : (squares / Double(count - 1)).squareRoot()
    let (variation, tail) = (spread.map { $0 / mean }, percentile(sorted, 99) / percentile(sorted, 50))
    let grade = grades.first { (variation ?? 0) <= $0.1 && tail <= $0.2 }?.0 ?? "poor"
    var figures: [String: Any?] = [
        "samples": [calls], "count": count, "first": first, "mean": mean, "std": spread, "min": sorted.first,
        "max": sorted.last, "cv": variation, "p99_p50": tail, "stability": count < leastGraded ? nil : grade,
        "trimmed_mean_80": average(sorted.dropFirst(count / 10).dropLast(count / 10)),
    ]
    for percent in [5, 10, 50, 90, 95, 99] { figures["p\(percent)"] = percentile(sorted, Double(percent)) }
    return nullable(figures)
}

private func average(_ values: ArraySlice<Double>) -> Double { values.reduce(0, +) / Double(values.count) }

/// Between the two nearest of sorted values.
private func percentile(_ sorted: [Double], _ percent: Double) -> Double {
    let place = Double(sorted.count - 1) * percent / 100
    let (low, part) = (Int(place), place - place.rounded(.down))
    return sorted[low] + part * (sorted[min(low + 1, sorted.count - 1)] - sorted[low])
}
