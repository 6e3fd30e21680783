import Foundation

/// Whether a file computes on this device what its checkpoint computes, on the artifact's golden photo and values.
public struct GoldenTest: Sendable {
    /// An output against the checkpoint's. passed: nil where the output isn't judged.
    public struct Distance: Sendable {
        public let name: String
        /// Decibels; infinite where both are equal.
        public let sqnr: Double
        public let least: Double?
        public var passed: Bool? { least.map { sqnr >= $0 } }
    }

    /// The test of one runner.
    public struct Report: Sendable {
        public let runner: String
        public let distances: [Distance]
        /// How far the golden photo, through the app's geometry, is from the golden input, in grey levels.
        public let geometryError: Double
        /// Whether the outputs' bounds notice that red and blue are swapped; nil where there are no colours.
        public let canaryNoticed: Bool?
        /// Milliseconds from the file to a model that runs: at first, and each time after that.
        public let coldMs: Double
        public let warmMs: [Double]
        /// Why it failed, a line each.
        public let reasons: [String]
        public var passed: Bool { reasons.isEmpty }
    }

    /// As far as the geometry may be from the checkpoint's own: one level, which isn't exactly one in float32.
    static let mostGreyLevels = 1.001
    static let warmLoads = 2

    private let artifact: Artifact
    private let photo: PixelImage

    /// photo: golden/photo.png, decoded.
    public init(_ artifact: Artifact, photo: PixelImage) {
        (self.artifact, self.photo) = (artifact, photo)
    }

    /// Load the file once and `warmLoads` times again, and hold what the last computes against the golden values.
    /// Throws: MobileKitError where it can't be loaded or run, or a golden file can't be read.
    public func run(_ load: () throws -> any ModelRunner) throws -> (Report, any ModelRunner) {
        let loads = try (0..<Self.warmLoads).map { _ in try timed(load).1 }
        let (runner, last) = try timed(load)
        let (image, inputs) = (artifact.manifest.inputs[0], try artifact.goldenInputs())
        let (golden, preprocessor) = (try artifact.golden(image), try Preprocessor(artifact.manifest.preprocess))
        let mine = try preprocessor.input(photo, for: image)
        let (levels, goldens) = (preprocessor.greyLevels(mine), preprocessor.greyLevels(golden))
        let geometry = zip(levels, goldens).map { abs($0 - $1) }.max() ?? 0
        let distances = try distances(of: runner.run(inputs))
        let swapped = try preprocessor.input(photo.swapped(), for: image)
        // A gray photo is the same with its colours swapped, and a gray input has none.
        let sees = artifact.manifest.preprocess.mean.count == 3 && swapped != mine
        let canary = try !sees ? nil : self.distances(
            of: runner.run(inputs.merging([image.name: swapped]) { $1 })).contains { $0.passed == false }
        let report = Report(
            runner: runner.name, distances: distances, geometryError: geometry, canaryNoticed: canary,
            coldMs: loads[0], warmMs: loads.dropFirst() + [last], reasons: reasons(distances, geometry, canary))
        return (report, runner)
    }

    private func reasons(_ distances: [Distance], _ geometry: Double, _ canary: Bool?) -> [String] {
        var reasons = distances.filter { $0.passed == false }.map {
            "\($0.name): " + String(format: "%.1f dB of at least %.1f dB.", $0.sqnr, $0.least ?? 0)
        }
        if geometry > Self.mostGreyLevels {
            reasons.append(String(format: "The golden photo became another input: %.1f grey levels away.", geometry))
        }
        if distances.allSatisfy({ $0.passed == nil }) {
            reasons.append("No output is judged: models.json has no bound for this model.")
        } else if canary == false {
            reasons.append("Swapped red and blue go unnoticed.")
        }
        return reasons
    }

    private func distances(of outputs: [String: TensorData]) throws -> [Distance] {
        try artifact.manifest.outputs.map { output in
            let (found, golden) = (outputs[output.name]?.doubles ?? [], try artifact.golden(output).doubles)
            let sqnr = sqnr(found, golden, ofClasses: [.int32, .int64].contains(output.dtype))
            return Distance(name: output.name, sqnr: sqnr, least: artifact.leastSqnrDb[output.name])
        }
    }
}

/// Signal to noise in decibels; not a number where an output isn't. ofClasses: a map of classes counts as planes of
/// ones and zeros, one a class: a pixel of another class is wrong in two.
func sqnr(_ values: [Double], _ reference: [Double], ofClasses: Bool = false) -> Double {
    guard values.count == reference.count else { return .nan }
    let noise = zip(values, reference).reduce(0) { sum, pair in
        let error = pair.0 - pair.1
        return sum + (ofClasses && error != 0 ? 2 : error * error)
    }
    let signal = ofClasses ? Double(reference.count) : reference.reduce(0) { $0 + $1 * $1 }
    return noise == 0 ? .infinity : 10 * log10(max(signal, 1e-300) / noise)
}

/// A result, and the milliseconds until it was there.
public func timed<Value>(_ work: () throws -> Value) rethrows -> (Value, Double) {
    let start = ContinuousClock.now
    let value = try work()
    return (value, (ContinuousClock.now - start) / .milliseconds(1))
}
